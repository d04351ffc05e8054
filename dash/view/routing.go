package view

import (
	"cmp"

	"github.com/dinp/dinp/common/model"
)

// RoutingField is one setting of the routing form, as text.
type RoutingField struct {
	Name    string
	Value   string
	Kind    string // line, area, switch or choice
	Choices []string
}

// On reports whether a switch is on.
func (f RoutingField) On() bool { return f.Value == "on" }

// LabelKey and HintKey name the field's words in the catalogues.
func (f RoutingField) LabelKey() string { return "routing." + f.Name }

// HintKey is LabelKey's, of what the field takes.
func (f RoutingField) HintKey() string { return "routing." + f.Name + ".hint" }

// Routing is the routing form: what is set, or what was typed.
type Routing struct {
	Choice, Access, Limits, Pages []RoutingField
	NewUser                       string
}

var routingKinds = map[string]string{
	"policy": "choice", "https_redirect": "switch", "compress": "switch", "redirects": "area", "allow_from": "area", "maintenance_page": "area", "error_page": "area",
}

// NewRouting makes the form of what show tells of each setting.
func NewRouting(show func(name string) string, newUser string) Routing {
	fields := func(names ...string) []RoutingField {
		var out []RoutingField
		for _, n := range names {
			f := RoutingField{Name: n, Value: show(n), Kind: routingKinds[n]}
			if f.Kind == "" {
				f.Kind = "line"
			}
			if f.Kind == "choice" {
				f.Value = cmp.Or(f.Value, model.PolicyLeast)
				f.Choices = []string{model.PolicyLeast, model.PolicyRoundRobin, model.PolicyWeighted, model.PolicyHash}
			}
			out = append(out, f)
		}
		return out
	}
	return Routing{
		Choice:  fields("policy", "hash_on", "sticky", "compress"),
		Access:  fields("https_redirect", "allow_from", "basic_auth"),
		Limits:  fields("rate", "source_rate", "max_in_flight", "max_body", "header_timeout", "idle_timeout", "total_timeout"),
		Pages:   fields("redirects", "maintenance_page", "error_page"),
		NewUser: newUser,
	}
}
