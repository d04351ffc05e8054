// Package preflight looks at an unpacked artifact before it is built, for less than a second, and says what will go wrong
// later: classes for a newer Java, libraries that were not packed, programs for another processor, private keys.
//
// The builder's pipeline calls it once the runtime is chosen. It reads files through os.Root, changes nothing, and stops
// looking when its time is over: then it says how much it has seen. Errors stop the build, warnings do not, and each says
// how to fix it.
package preflight

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/dinp/dinp/builder/recipe"
	"github.com/dinp/dinp/common/model"
)

// Time is how long Check looks at most.
const Time = 900 * time.Millisecond

// Input is an artifact and what is known around it.
type Input struct {
	Root         *os.Root      // the unpacked artifact
	Choice       recipe.Choice // its runtime, its files below Choice.Top
	Architecture string        // of the nodes, as Go calls it: amd64
	Before       *Before       // the app's last build; nil for none
	Same         int           // number of the release that has the very same artifact; 0 for none
}

// Before is the app's last build that succeeded.
type Before struct {
	Release int // 0: it made none
	Report  model.BuildReport
}

// Report is what was found.
type Report struct {
	Findings []model.Finding // errors first
	Traits   []string        // of recipe.Trait…
	Largest  []model.FileSize
}

// Check looks at the artifact. Its error is a fault of disk or context, never of the artifact.
func Check(ctx context.Context, in Input) (Report, error) {
	return checkBy(ctx, in, time.Now)
}

func checkBy(ctx context.Context, in Input, now func() time.Time) (Report, error) {
	c := check{Input: in, ctx: ctx, now: now, until: now().Add(Time)}
	for _, look := range []func(){
		c.programs, c.scripts, c.links, c.javaClasses, c.servlets, c.node, c.python, c.secrets, c.nested, c.collisions, c.growth, c.same,
	} {
		if ctx.Err() != nil {
			return Report{}, ctx.Err()
		}
		look()
	}
	if c.cut != "" {
		c.warn("time", "", "the look at the artifact was cut after %s, at %s", Time, c.cut)
	}
	slices.SortStableFunc(c.out.Findings, func(a, b model.Finding) int { return cmp.Compare(severity(a), severity(b)) })
	c.out.Largest = largest(in.Choice.Files)
	return c.out, c.err
}

func severity(f model.Finding) int {
	if f.Error {
		return 0
	}
	return 1
}

// Refusal is the error of a build whose artifact has findings that are errors; nil when there is none.
func (r Report) Refusal() error {
	var all []model.Finding
	for _, f := range r.Findings {
		if f.Error {
			all = append(all, f)
		}
	}
	if len(all) == 0 {
		return nil
	}
	first := all[0]
	evidence := first.Evidence
	for _, f := range all[1:] {
		evidence = append(evidence, f.Message+"; "+f.Fix)
	}
	return model.E(model.CodePreflight, "%s", first.Message).WithEvidence(evidence...).WithNext("%s", first.Fix)
}

// check is one look under way.
type check struct {
	Input
	ctx   context.Context // of this one Check
	now   func() time.Time
	until time.Time
	cut   string // where the time was over
	out   Report
	err   error
}

// late reports whether the time is over, and remembers where that was.
func (c *check) late(where string) bool {
	if c.ctx.Err() == nil && c.now().Before(c.until) {
		return false
	}
	c.cut = cmp.Or(c.cut, where)
	return true
}

func (c *check) fail(name, fix, format string, args ...any) *model.Finding {
	return c.add(model.Finding{Error: true, Check: name, Message: fmt.Sprintf(format, args...), Fix: fix})
}

func (c *check) warn(name, fix, format string, args ...any) *model.Finding {
	return c.add(model.Finding{Check: name, Message: fmt.Sprintf(format, args...), Fix: fix})
}

func (c *check) add(f model.Finding) *model.Finding {
	c.out.Findings = append(c.out.Findings, f)
	return &c.out.Findings[len(c.out.Findings)-1]
}

// most is how many examples a finding shows.
const most = 5

// examples are the first of a list, as evidence.
func examples(all []string) []string {
	if len(all) <= most {
		return all
	}
	return append(slices.Clone(all[:most]), fmt.Sprintf("… and %d more", len(all)-most))
}

// files calls f for every regular file until it returns false.
func (c *check) files(f func(recipe.File) bool) {
	for _, file := range c.Choice.Files {
		if !file.Dir && file.Link == "" && !f(file) {
			return
		}
	}
}

func (c *check) has(match func(p string) bool) bool {
	return slices.ContainsFunc(c.Choice.Files, func(f recipe.File) bool { return !f.Dir && match(f.Path) })
}

func (c *check) open(p string) *os.File {
	f, err := c.Root.Open(c.Choice.Top + p)
	if err != nil {
		return nil // unpacked a moment ago; a link that leads nowhere is told elsewhere
	}
	return f
}

// read returns at most n bytes of a file.
func (c *check) read(p string, n int64) []byte {
	f := c.open(p)
	if f == nil {
		return nil
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, n))
	if err != nil {
		return nil
	}
	return b
}

func size(n int64) string { return humanize.IBytes(uint64(n)) }

func quoted(p string) string { return fmt.Sprintf("%.120q", p) }

func hasSuffix(p string, suffixes ...string) bool {
	p = strings.ToLower(p)
	return slices.ContainsFunc(suffixes, func(s string) bool { return strings.HasSuffix(p, s) })
}
