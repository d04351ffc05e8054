package builder

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"github.com/dinp/dinp/builder/image"
	"github.com/dinp/dinp/builder/recipe"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/sql/store"
)

// cook makes the image of the chosen runtime, unless an earlier build has made it.
func (j *job) cook(ctx context.Context, t image.Tree, c recipe.Choice) (store.BuildOutcome, error) {
	o := store.BuildOutcome{Status: model.BuildSucceeded, Runtime: c.Runtime.Name}
	var produce func(context.Context) (string, error)
	var identity []string
	var err error
	if c.Runtime.Build == recipe.BuildLayers {
		produce, identity, err = j.layers(ctx, t, c)
	} else {
		produce, identity, err = j.dockerfile(ctx, t, c)
	}
	if err != nil {
		return o, err
	}
	o.Key = j.key(c.Runtime, identity)
	if o.Image, err = j.earlier(ctx, o.Key); err != nil || o.Image != "" {
		return o, err
	}
	o.Image, err = produce(ctx)
	return o, err
}

// layers prepares an image of base + files, for which no engine is needed.
func (j *job) layers(ctx context.Context, t image.Tree, c recipe.Choice) (func(context.Context) (string, error), []string, error) {
	start, err := j.start(t, c)
	if err != nil {
		return nil, nil, err
	}
	j.log.say("starts with %s", start.Reason)
	digest, err := j.b.registry.BaseDigest(ctx, c.Runtime.Base)
	if err != nil {
		return nil, nil, err
	}
	j.log.say("base image %s@%s", c.Runtime.Base, digest)
	j.report.Base, j.report.BaseDigest = c.Runtime.Base, digest
	l := image.Layered{
		Base: c.Runtime.Base, Digest: digest, Runtime: c.Runtime, Command: start.Command, Labels: j.labels(c, digest), Scratch: j.dir,
	}
	return func(ctx context.Context) (string, error) {
		laid, err := j.prepare(ctx, t, c, digest)
		if err != nil {
			return "", err
		}
		if laid.Root != t.Root {
			defer laid.Root.Close()
		}
		return j.assemble(ctx, laid, l)
	}, []string{digest}, nil
}

func (j *job) assemble(ctx context.Context, t image.Tree, l image.Layered) (string, error) {
	var a image.Assembled
	err := j.step(ctx, stepAssemble, l.Runtime.Name, func() (err error) {
		if l.Earlier, err = j.before(ctx); err != nil {
			return err
		}
		a, err = j.b.registry.Assemble(ctx, t, l)
		return err
	})
	if err != nil {
		return "", err
	}
	for _, layer := range a.Layers {
		how := "packed"
		if layer.Known {
			how = "unchanged"
		}
		j.log.say("layer %s: %s, %s", layer.Name, size(layer.Bytes), how)
		j.report.LayerList = append(j.report.LayerList, model.BuildLayer{
			Name: layer.Name, Bytes: layer.Bytes, Reused: layer.Known, Digest: layer.Digest.String(), Content: layer.Content,
		})
	}
	var p image.Pushed
	err = j.step(ctx, stepPush, l.Runtime.Name, func() (err error) {
		p, err = j.b.registry.Push(ctx, a.Image, j.build.AppName, j.tag())
		return err
	})
	if err != nil {
		return "", err
	}
	// A layer that was packed anew may be in the registry all the same, from another build; the config never is.
	j.report.Layers, j.report.BytesPushed = len(a.Layers), p.Bytes
	j.report.LayersReused = max(len(a.Layers)-max(p.Blobs-1, 0), 0)
	j.log.say("pushed %s in %d blobs; what else the image needs, the registry had", size(p.Bytes), p.Blobs)
	return p.Name, nil
}

// before is the app's last image, with what its builder wrote down of its layers.
func (j *job) before(ctx context.Context) (image.Earlier, error) {
	last, err := j.b.store.LastBuilt(ctx, j.build.AppID)
	if err != nil || last.ID == "" {
		return image.Earlier{}, err
	}
	r, _, err := j.b.store.BuildReport(ctx, last.ID)
	if err == nil && r.Reused != "" {
		r, _, err = j.b.store.BuildReport(ctx, r.Reused)
	}
	e := image.Earlier{Image: last.Image, Layers: map[string]string{}}
	for _, l := range r.LayerList {
		if l.Content != "" {
			e.Layers[l.Content] = l.Digest
		}
	}
	return e, err
}

// dockerfile prepares a build by the engine: by the artifact's own Dockerfile or the runtime's template.
func (j *job) dockerfile(ctx context.Context, t image.Tree, c recipe.Choice) (func(context.Context) (string, error), []string, error) {
	text, err := j.dockerfileText(t, c)
	if err != nil {
		return nil, nil, err
	}
	bases, err := j.b.engine.Bases(ctx, j.b.registry, text)
	if err != nil {
		return nil, nil, err
	}
	j.based(bases)
	d := image.Docked{Build: filepath.Base(j.dir), App: j.build.AppName, Tag: j.tag(), Dockerfile: text, Labels: j.labels(c, "")}
	identity := []string{fmt.Sprint(bases), text}
	if j.b.cfg.Dockerfile.Network {
		identity = nil // what it downloads may be another thing today
	}
	return func(ctx context.Context) (name string, err error) {
		err = j.step(ctx, stepBuild, c.Runtime.Name, func() error {
			name, err = j.b.engine.Build(ctx, t, d, bases, j.log.output)
			return err
		})
		return name, err
	}, identity, nil
}

// based notes the base image in the report, when there is one and no more.
func (j *job) based(bases map[string]string) {
	if len(bases) != 1 {
		return
	}
	for name, digest := range bases {
		j.report.Base, j.report.BaseDigest = name, digest
	}
}

func (j *job) dockerfileText(t image.Tree, c recipe.Choice) (string, error) {
	if c.Runtime.Build == recipe.BuildDockerfile {
		return readText(t, recipe.DockerfileName)
	}
	start, err := j.start(t, c)
	if err != nil {
		return "", err
	}
	j.log.say("starts with %s", start.Reason)
	return c.Dockerfile(start)
}

// start finds the start command, for which a few files of the artifact may be read.
func (j *job) start(t image.Tree, c recipe.Choice) (recipe.Start, error) {
	texts := map[string]string{}
	for _, name := range c.Texts() {
		text, err := readText(t, name)
		if err != nil {
			return recipe.Start{}, err
		}
		texts[name] = text
	}
	return c.Start(texts)
}

// maxText is far more than any Procfile or Dockerfile has.
const maxText = 1 << 20

func readText(t image.Tree, name string) (string, error) {
	f, err := t.Root.Open(t.Top + name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", model.E(model.CodeBadRuntime, "%s is a link that leads nowhere", name).WithNext("put the file itself into the artifact and upload again")
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxText+1))
	if err == nil && len(b) > maxText {
		err = model.E(model.CodeTooLarge, "%s is larger than %s", name, size(maxText)).WithNext("make it smaller and upload again")
	}
	return string(b), err
}

// labels say on the image where it came from. They are the same for the same input, as the image's digest must be.
func (j *job) labels(c recipe.Choice, base string) map[string]string {
	l := map[string]string{"dinp.runtime": c.Runtime.Name, "dinp.runtime.version": c.Runtime.Version, "dinp.artifact": "sha256:" + j.build.Artifact}
	if base != "" {
		l["dinp.base"] = c.Runtime.Base + "@" + base
	}
	return l
}

// key identifies everything that the image depends on; "" when that cannot be told.
func (j *job) key(r recipe.Runtime, identity []string) string {
	if identity == nil {
		return ""
	}
	parts := append([]string{"1", j.build.Artifact, r.Name, r.Version, r.Hash}, identity...)
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// earlier finds the image of an earlier build of the app with the same key, if the registry still has it.
func (j *job) earlier(ctx context.Context, key string) (string, error) {
	if key == "" {
		return "", nil
	}
	name, build, err := j.b.store.FindBuiltImage(ctx, j.build.AppID, key)
	if err != nil || name == "" {
		return "", err
	}
	if ok, err := j.b.registry.Has(ctx, name); err != nil || !ok {
		return "", err
	}
	j.b.metrics.reused.Inc()
	j.report.Reused = build
	j.log.say("same artifact, runtime and base image as in an earlier build: its image is used again")
	return name, nil
}
