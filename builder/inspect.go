package builder

import (
	"context"
	"os"

	"github.com/dinp/dinp/builder/archive"
	"github.com/dinp/dinp/builder/sbom"
	"github.com/dinp/dinp/sql/store"
)

// inspect writes down which packages the artifact carries. What is known of an artifact stays known, whichever app or
// build brought it first.
func (j *job) inspect(ctx context.Context, root *os.Root, c archive.Contents) error {
	return j.step(ctx, stepInspect, "", func() error {
		known, err := j.b.store.ScanOf(ctx, j.build.Artifact)
		if err != nil {
			return err
		}
		if known != nil && known.Version >= sbom.Version {
			return j.countComponents(ctx)
		}
		files := make([]string, len(c.Files))
		for i, f := range c.Files {
			files[i] = f.Path
		}
		bill, err := sbom.Scan(ctx, root, files, j.path("jar"))
		if err != nil {
			return err
		}
		if bill.Incomplete != "" {
			j.warn("the bill of materials is incomplete: " + bill.Incomplete)
		}
		if err := j.b.store.SaveScan(ctx, j.build.Artifact, store.Scan{Version: sbom.Version, Incomplete: bill.Incomplete}, bill.Components); err != nil {
			return err
		}
		j.report.Components = len(bill.Components)
		j.log.say("packages found in the artifact: %d", len(bill.Components))
		return nil
	})
}

func (j *job) countComponents(ctx context.Context) error {
	components, err := j.b.store.Components(ctx, j.build.Artifact)
	j.report.Components = len(components)
	j.log.say("packages in the artifact, as found before: %d", len(components))
	return err
}

// warn tells of something that does not stop the build.
func (j *job) warn(text string) {
	j.report.Warnings = append(j.report.Warnings, text)
	j.log.say("warning: %s", text)
}
