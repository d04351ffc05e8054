package image

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/docker/docker/api/types/build"
	"github.com/docker/docker/api/types/registry"

	"github.com/dinp/dinp/builder/recipe"
	"github.com/dinp/dinp/common/model"
)

// Docked is an image to be built by the engine from a Dockerfile.
type Docked struct {
	Build      string // name of this attempt at a build, unlike any other
	App        string
	Tag        string
	Dockerfile string // as it came
	Labels     map[string]string
}

// names of the files that are laid beside the artifact's own; the second makes the engine drop both after reading.
const (
	dockerfileName = ".dinp.Dockerfile"
	ignoreName     = ".dockerignore"
)

// Bases returns the base images of the platform that a Dockerfile uses, each with its digest.
func (e *Engine) Bases(ctx context.Context, r *Registry, dockerfile string) (map[string]string, error) {
	rewritten, err := recipe.RewriteDockerfile(dockerfile, e.rules("", nil))
	if err != nil {
		return nil, err
	}
	digests := map[string]string{}
	for _, base := range rewritten.Bases {
		if digests[base], err = r.BaseDigest(ctx, base); err != nil {
			return nil, err
		}
	}
	return digests, nil
}

func (e *Engine) rules(build string, digests map[string]string) recipe.Rules {
	return recipe.Rules{Registry: e.registry, Registries: e.limits.Registries, Label: e.label(build), Digests: digests}
}

// Build builds the tree by its Dockerfile with the classic builder, under limits, and pushes the result. Every line of
// output goes to say. Containers and images it made are gone when it returns, however it ends.
func (e *Engine) Build(ctx context.Context, t Tree, d Docked, bases map[string]string, say func(string)) (_ string, err error) {
	rewritten, err := recipe.RewriteDockerfile(d.Dockerfile, e.rules(d.Build, bases))
	if err != nil {
		return "", err
	}
	defer func() {
		last, target := context.WithoutCancel(ctx), e.target(d.App, d.Tag)
		err = errors.Join(err, e.untag(last, target), e.Clean(ctx, d.Build))
		if ctx.Err() != nil { // it may have come to its end, and its name, after all
			err = errors.Join(err, e.untag(last, target))
		}
	}()
	unwatch := e.limitProcesses(ctx, d.Build)
	id, err := e.build(ctx, t, d, rewritten.Text, say)
	unwatch()
	if err != nil {
		return "", err
	}
	if err := e.checkCommand(ctx, id); err != nil {
		return "", err
	}
	say("built " + id)
	return e.push(ctx, id, d.App, d.Tag)
}

func (e *Engine) build(ctx context.Context, t Tree, d Docked, dockerfile string, say func(string)) (string, error) {
	body, w := io.Pipe()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		w.CloseWithError(writeContext(ctx, w, t, dockerfile))
	}()
	defer func() { // the engine may answer without reading all
		body.CloseWithError(io.ErrClosedPipe)
		<-sent
	}()
	res, err := e.client.ImageBuild(ctx, body, e.options(d))
	if err != nil {
		return "", e.buildError(ctx, err, nil)
	}
	defer res.Body.Close()
	return e.follow(ctx, res.Body, say)
}

// follow passes the output on and returns the built image's id.
func (e *Engine) follow(ctx context.Context, r io.Reader, say func(string)) (string, error) {
	id, last := "", tail{}
	l := lines{say: func(s string) {
		last.add(s)
		say(s)
	}}
	err := readStream(r, func(m message) {
		l.add(m.Stream)
		var aux struct{ ID string }
		if json.Unmarshal(m.Aux, &aux) == nil && aux.ID != "" {
			id = aux.ID
		}
	})
	l.flush()
	if err != nil {
		return "", e.buildError(ctx, err, last)
	}
	if id == "" {
		return "", e.buildError(ctx, errors.New("the engine named no image"), last)
	}
	return id, nil
}

func (e *Engine) options(d Docked) build.ImageBuildOptions {
	memory := e.limits.MemoryMiB << 20
	o := build.ImageBuildOptions{
		Version:     build.BuilderV1,
		Tags:        []string{e.target(d.App, d.Tag)},
		Dockerfile:  dockerfileName,
		Remove:      true,
		ForceRemove: true,
		NoCache:     true, // layers of other builds are other people's
		NetworkMode: "none",
		Memory:      memory,
		MemorySwap:  memory, // no swap beside it
		CPUPeriod:   100_000,
		CPUQuota:    e.limits.CPUMilli * 100,
		AuthConfigs: map[string]registry.AuthConfig{e.registry: e.auth},
		// The marks of a build in progress end with it: what runs from this image later is not ours to remove.
		Labels: map[string]string{labelBuild: "", labelOwner: ""},
	}
	if e.limits.Network {
		o.NetworkMode = "default"
	}
	for k, v := range d.Labels {
		o.Labels[k] = v
	}
	return o
}

// writeContext sends the tree with our Dockerfile beside it.
func writeContext(ctx context.Context, dst io.Writer, t Tree, dockerfile string) error {
	own := map[string]string{dockerfileName: dockerfile, ignoreName: dockerfileName + "\n" + ignoreName + "\n"}
	files := t.Files[:0:0]
	for _, f := range t.Files {
		if _, taken := own[f.Path]; !taken {
			files = append(files, f)
		}
	}
	t.Files = files
	w := tar.NewWriter(dst)
	for _, name := range sortedKeys(own) {
		if err := w.WriteHeader(header(name, recipe.File{Size: int64(len(own[name]))}, 0)); err != nil {
			return err
		}
		if _, err := io.WriteString(w, own[name]); err != nil {
			return err
		}
	}
	if err := t.part(t.Files, "", 0).writeTar(ctx, w); err != nil {
		return err
	}
	return w.Close()
}

// checkCommand refuses an image that could not be started.
func (e *Engine) checkCommand(ctx context.Context, id string) error {
	info, err := e.client.ImageInspect(ctx, id)
	if err != nil {
		return e.explain(err)
	}
	if info.Config != nil && len(info.Config.Cmd)+len(info.Config.Entrypoint) > 0 {
		return nil
	}
	return model.E(model.CodeBuildFailed, "the image that the Dockerfile makes has no command").
		WithNext("add a line such as CMD [\"/app/server\"] to the Dockerfile and upload again")
}

func (e *Engine) buildError(ctx context.Context, err error, last tail) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err := e.explain(err); model.IsCode(err, model.CodeDockerAway) {
		return err
	}
	text := brief(err).Error()
	next := "correct the Dockerfile and upload again"
	switch {
	case strings.Contains(text, "non-zero code: 137"):
		next = fmt.Sprintf("the step was killed, most likely at the limit of %d MiB memory; make it need less, or let an operator raise dockerfile.memory_mib", e.limits.MemoryMiB)
	case !e.limits.Network && last.mentions("resolve", "network is unreachable", "bad address", "Name or service not known"):
		next = "builds have no network here: put what the step downloads into the artifact, or let an operator set dockerfile.network"
	case strings.Contains(text, "not found") && strings.Contains(text, "pull"), strings.Contains(text, "manifest unknown"), strings.Contains(text, "no such host"):
		next = "the engine cannot pull an image of the Dockerfile's FROM; use one it has or can reach, such as dinp/base/binary"
	}
	return model.E(model.CodeBuildFailed, "the Dockerfile's build failed: %s", text).WithEvidence(last...).WithNext("%s", next).WithCause(err)
}

// tail keeps the last lines of the output, as evidence.
type tail []string

const tailLines = 15

func (t *tail) add(s string) {
	if len(*t) == tailLines {
		*t = append((*t)[:0], (*t)[1:]...)
	}
	*t = append(*t, s)
}

func (t tail) mentions(parts ...string) bool {
	for _, line := range t {
		for _, p := range parts {
			if strings.Contains(line, p) {
				return true
			}
		}
	}
	return false
}
