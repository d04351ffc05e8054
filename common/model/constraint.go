package model

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Constraints say on which nodes an app's instances may run: a canonical,
// comparable text such as "label==ssd pool==big zone==a per-node==1". The empty
// one is any node of the default pool.
type Constraints string

// Placement is what constraints say.
type Placement struct {
	Pool       string // "": the default pool
	Zone       string // "": any
	Labels     []string
	MaxPerNode int // of the app's instances on one node; 0: no limit
}

// Limits of constraints.
const (
	MaxLabels        = 8  // that an app may ask for, or a node may have
	maxConstraintLen = 63 // of a zone, pool or label
)

var constraintWord = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._=/-]*[A-Za-z0-9])?$`)

// ParseConstraints reads a list such as zone==a, label==ssd, pool==big,
// per-node==1. What cannot be read is refused with CodeBadConstraint.
func ParseConstraints(list []string) (Constraints, error) {
	var p Placement
	for _, c := range list {
		name, value, ok := strings.Cut(strings.TrimSpace(c), "==")
		if !ok {
			return "", badConstraint(c, "is not NAME==VALUE")
		}
		if err := p.set(c, name, value); err != nil {
			return "", err
		}
	}
	if len(p.Labels) > MaxLabels {
		return "", E(CodeBadConstraint, "%d labels are asked for; at most %d may be", len(p.Labels), MaxLabels)
	}
	return p.Constraints(), nil
}

func (p *Placement) set(c, name, value string) error {
	if name == "per-node" {
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 || n > MaxInstances {
			return badConstraint(c, fmt.Sprintf("is not a number from 1 to %d", MaxInstances))
		}
		p.MaxPerNode = n
		return nil
	}
	if !CheckLabel(value) {
		return badConstraint(c, "has a value that no node can have")
	}
	switch name {
	case "zone":
		return p.once(&p.Zone, c, value)
	case "pool":
		return p.once(&p.Pool, c, value)
	case "label":
		if !slices.Contains(p.Labels, value) {
			p.Labels = append(p.Labels, value)
		}
		return nil
	}
	return badConstraint(c, "names something that is not known")
}

func (p *Placement) once(field *string, c, value string) error {
	if *field != "" && *field != value {
		return badConstraint(c, "contradicts "+*field)
	}
	*field = value
	return nil
}

func badConstraint(c, why string) *Error {
	return E(CodeBadConstraint, "constraint %q %s", clip(c, 80), why).WithNext("%s; dinp nodes shows what nodes have", meant(c))
}

// meant says how a constraint is written that was guessed from those of other platforms.
func meant(c string) string {
	name, value, ok := strings.Cut(strings.TrimSpace(c), "=")
	value = strings.TrimPrefix(value, "=")
	known := slices.Contains([]string{"zone", "pool", "label", "per-node"}, name)
	switch label := name + "=" + value; {
	case !ok || value == "" || !CheckLabel(value) || !CheckLabel(label) || known && strings.Contains(c, "=="):
		return "write zone==ZONE, pool==POOL, label==LABEL or per-node==N"
	case known:
		return "write " + name + "==" + value
	default:
		return "for nodes with the label " + label + " write label==" + label
	}
}

// CheckLabel reports whether a word may be a zone, a pool or a label of a node.
func CheckLabel(s string) bool { return len(s) <= maxConstraintLen && constraintWord.MatchString(s) }

// Constraints is the canonical text of a placement.
func (p Placement) Constraints() Constraints {
	var out []string
	for _, l := range slices.Sorted(slices.Values(p.Labels)) {
		out = append(out, "label=="+l)
	}
	if p.Pool != "" {
		out = append(out, "pool=="+p.Pool)
	}
	if p.Zone != "" {
		out = append(out, "zone=="+p.Zone)
	}
	if p.MaxPerNode > 0 {
		out = append(out, "per-node=="+strconv.Itoa(p.MaxPerNode))
	}
	return Constraints(strings.Join(out, " "))
}

// List is the constraints one by one.
func (c Constraints) List() []string { return strings.Fields(string(c)) }

// Placement is what the constraints say. What cannot be read asks for nothing.
func (c Constraints) Placement() Placement {
	var p Placement
	for _, s := range c.List() {
		if name, value, ok := strings.Cut(s, "=="); ok {
			_ = p.set(s, name, value)
		}
	}
	return p
}

// CheckSingleton returns a CodeBadSize error when a singleton would have more
// than one instance: at most one of it may run at any time.
func CheckSingleton(app string, singleton bool, instances int) error {
	if singleton && instances > 1 {
		return E(CodeBadSize, "a singleton has at most one instance, not %d", instances).
			WithNext("dinp scale %s 1 first, or take the singleton flag back: dinp singleton %s off", app, app)
	}
	return nil
}
