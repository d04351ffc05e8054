package builder

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/dinp/dinp/builder/archive"
	"github.com/dinp/dinp/builder/image"
	"github.com/dinp/dinp/builder/recipe"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/sql/store"
)

// The steps of a build, as people see them.
const (
	stepFetch    = "fetch"
	stepUnpack   = "unpack"
	stepDetect   = "detect"
	stepCheck    = "check"
	stepConvert  = "convert"
	stepAssemble = "assemble"
	stepBuild    = "build"
	stepPush     = "push"
	stepCopy     = "copy"
	stepInspect  = "inspect"
)

// job is one build under way.
type job struct {
	b      *Builder
	build  model.Build
	dir    string // of this build alone; removed afterwards
	log    *buildLog
	report model.BuildReport
	traits []string // of the artifact, as the check found them
}

// run is the whole pipeline: artifact or reference in, image out.
func (j *job) run(ctx context.Context) (o store.BuildOutcome, err error) {
	o.Status = model.BuildSucceeded
	if j.build.Runtime == model.RuntimeImage || j.build.ImageRef != "" {
		o.Runtime = model.RuntimeImage
		o.Image, err = j.copyImage(ctx)
	} else {
		o, err = j.buildArtifact(ctx)
	}
	if err != nil {
		return o, err
	}
	j.log.say("image %s", o.Image)
	j.log.say("times: %s", times(j.report.Phases))
	o.Now = time.Now()
	o.Provenance, err = j.sign(ctx, o)
	return o, err
}

// times are the phases for the log's last line.
func times(phases []model.BuildPhase) string {
	var out []string
	for _, p := range phases {
		out = append(out, p.Name+" "+short(time.Duration(p.Took)))
	}
	return strings.Join(out, ", ")
}

// step does one part of the work and notes how long it took.
func (j *job) step(ctx context.Context, name, runtime string, f func() error) error {
	if err := j.b.store.SetBuildStep(ctx, j.build.ID, j.b.cfg.ID, name, runtime); err != nil {
		return err
	}
	began := time.Now()
	err := f()
	took := time.Since(began)
	j.report.Phases = append(j.report.Phases, model.BuildPhase{Name: name, Took: model.Duration(took)})
	j.b.metrics.seconds.WithLabelValues(name).Observe(took.Seconds())
	return err
}

func (j *job) tag() string { return "build-" + j.build.ID }

func (j *job) copyImage(ctx context.Context) (name string, err error) {
	err = j.step(ctx, stepCopy, model.RuntimeImage, func() error {
		j.log.say("looking for the image %s", j.build.ImageRef)
		name, err = j.b.registry.Import(ctx, j.b.engine, j.build.ImageRef, j.build.AppName, j.tag(), func(s string) { j.log.say("%s", s) })
		return err
	})
	return name, err
}

func (j *job) buildArtifact(ctx context.Context) (store.BuildOutcome, error) {
	if err := j.room(roomToBegin); err != nil {
		return store.BuildOutcome{}, err
	}
	if err := j.bring(ctx); err != nil {
		return store.BuildOutcome{}, err
	}
	contents, err := j.unpack(ctx)
	if err != nil {
		return store.BuildOutcome{}, err
	}
	root, err := os.OpenRoot(j.path("tree"))
	if err != nil {
		return store.BuildOutcome{}, err
	}
	defer root.Close()
	choice, err := j.detect(ctx, contents)
	if err != nil {
		return store.BuildOutcome{}, err
	}
	j.report.RuntimeVersion, j.report.TemplateHash = choice.Runtime.Version, choice.Runtime.Hash
	if j.traits, err = j.check(ctx, root, choice); err != nil {
		return store.BuildOutcome{Runtime: choice.Runtime.Name}, err
	}
	if err := j.inspect(ctx, root, contents); err != nil {
		return store.BuildOutcome{Runtime: choice.Runtime.Name}, err
	}
	if !choice.KeptWhole() {
		if err := os.Remove(j.path("artifact")); err != nil {
			return store.BuildOutcome{}, err
		}
	}
	return j.cook(ctx, image.Tree{Root: root, Top: choice.Top, Files: choice.Files}, choice)
}

func (j *job) path(name string) string { return filepath.Join(j.dir, name) }

// bring brings the artifact here, from wherever it is.
func (j *job) bring(ctx context.Context) error {
	if j.build.Artifact == "" && j.build.Origin.Sender != "" {
		return j.redeem(ctx)
	}
	if j.build.Artifact == "" {
		if err := j.download(ctx); err != nil {
			return err
		}
	}
	return j.step(ctx, stepFetch, "", func() error {
		n, came, err := j.b.registry.FetchArtifact(ctx, j.build.Artifact, j.path("artifact"), j.b.folder.larder)
		if err != nil {
			return err
		}
		return j.fetched(n, came)
	})
}

// redeem brings in an artifact that was sent in parts, and writes down that it is one: it has the SHA-256 that its sender
// announced. From here on it is theirs to deploy, and the build is one of an artifact, whoever takes it over.
func (j *job) redeem(ctx context.Context) error {
	b := &j.build
	return j.step(ctx, stepFetch, "", func() error {
		theirs := func(size int64) error { return j.b.store.BringArtifact(ctx, b.Origin.SHA256, size, b.Origin.Sender) }
		n, came, err := j.b.registry.RedeemArtifact(ctx, b.Origin.SHA256, b.Origin.Sender, j.path("artifact"), j.b.folder.larder, theirs)
		if err != nil {
			return err
		}
		b.Artifact, b.Size = b.Origin.SHA256, n
		if err := j.b.store.SetBuildArtifact(ctx, *b, j.b.cfg.ID); err != nil {
			return err
		}
		return j.fetched(n, came)
	})
}

// fetched tells of an artifact of n bytes, of which some came from the registry.
func (j *job) fetched(n, came int64) error {
	j.log.say("fetched %q, %s (sha256 %.12s)%s", j.build.Filename, size(n), j.build.Artifact, wasHere(n-came))
	if err := j.b.folder.larder.Trim(); err != nil {
		j.b.log.Warn("larder not trimmed", "err", err)
	}
	return j.room(roomToUnpack) // the larder must not have taken what the build was promised
}

// unpack opens the artifact.
func (j *job) unpack(ctx context.Context) (c archive.Contents, err error) {
	err = j.step(ctx, stepUnpack, "", func() error {
		c, err = archive.Extract(ctx, j.path("artifact"), j.build.Filename, j.path("tree"), j.b.cfg.Limits)
		return err
	})
	if err != nil {
		return c, err
	}
	j.log.say("unpacked %s: %d files, %s", c.Format, c.Count, size(c.Bytes))
	if c.Ignored > 0 {
		j.log.say("left out %d files that macOS adds to archives", c.Ignored)
	}
	if c.Cleared > 0 {
		j.log.say("dropped the set-user-id, set-group-id or sticky bit of %d files", c.Cleared)
	}
	j.report.Files, j.report.Bytes = c.Count, c.Bytes
	return c, nil
}

// room refuses a build that needs more of the disk than there is, as many times the artifact's size.
func (j *job) room(times int64) error {
	return j.b.folder.room(times*j.build.Size + j.b.cfg.ReserveMiB<<20)
}

// wasHere says how much of an artifact did not have to be fetched.
func wasHere(n int64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("; %s of it was here from an earlier build", size(n))
}

// detect chooses the runtime and says why.
func (j *job) detect(ctx context.Context, c archive.Contents) (choice recipe.Choice, err error) {
	u := recipe.Upload{Filename: j.build.Filename, Format: string(c.Format), Count: c.Count, Bytes: c.Bytes, Files: make([]recipe.File, len(c.Files))}
	for i, f := range c.Files {
		u.Files[i] = recipe.File(f)
	}
	err = j.step(ctx, stepDetect, "", func() error {
		choice, err = j.b.runtimes.Detect(u, j.build.Runtime)
		return err
	})
	if err != nil {
		return choice, err
	}
	if j.build.Runtime != "" {
		j.log.say("runtime %s: %s", choice.Runtime.Name, choice.Reason)
	} else {
		j.log.say("detected %s: %s", choice.Runtime.Name, choice.Reason)
	}
	if len(choice.Also) > 0 {
		j.log.say("also possible: %s; choose with --runtime", strings.Join(choice.Also, ", "))
	}
	return choice, nil
}

func size(n int64) string { return humanize.IBytes(uint64(n)) }

// short is a duration as people read it.
func short(d time.Duration) string {
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(10 * time.Millisecond).String()
}
