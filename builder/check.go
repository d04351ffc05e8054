package builder

import (
	"context"
	"os"
	"runtime"

	"github.com/dinp/dinp/builder/preflight"
	"github.com/dinp/dinp/builder/recipe"
	"github.com/dinp/dinp/common/model"
)

// check looks at the artifact before it is built and returns its traits. What it finds stands in the log and the report;
// errors among it stop the build.
func (j *job) check(ctx context.Context, root *os.Root, c recipe.Choice) ([]string, error) {
	in := preflight.Input{Root: root, Choice: c, Architecture: runtime.GOARCH}
	var out preflight.Report
	err := j.step(ctx, stepCheck, c.Runtime.Name, func() (err error) {
		if err = j.compare(ctx, &in); err != nil {
			return err
		}
		out, err = preflight.Check(ctx, in)
		return err
	})
	if err != nil {
		return nil, err
	}
	j.report.Findings, j.report.Largest = out.Findings, out.Largest
	for _, f := range out.Findings {
		j.sayFinding(f)
	}
	return out.Traits, out.Refusal()
}

// compare looks up what the app was built from before.
func (j *job) compare(ctx context.Context, in *preflight.Input) error {
	same, err := j.b.store.BuiltFrom(ctx, j.build.AppID, j.build.Artifact)
	if err != nil {
		return err
	}
	in.Same = same.Release
	last, err := j.b.store.LastBuilt(ctx, j.build.AppID)
	if err != nil || last.ID == "" {
		return err
	}
	r, _, err := j.b.store.BuildReport(ctx, last.ID)
	in.Before = &preflight.Before{Release: last.Release, Report: r}
	return err
}

// sayFinding writes a finding into the log: an error as one, everything else as a warning.
func (j *job) sayFinding(f model.Finding) {
	level := "warning"
	if f.Error {
		level = "error"
	}
	j.log.say("%s (%s): %s", level, f.Check, f.Message)
	for _, e := range f.Evidence {
		j.log.say("  %s", e)
	}
	if f.Fix != "" {
		j.log.say("  fix: %s", f.Fix)
	}
}
