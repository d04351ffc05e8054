package image

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/docker/docker/api/types/container"
	dockerimage "github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/registry"

	"github.com/dinp/dinp/builder/recipe"
	"github.com/dinp/dinp/common/model"
)

// Conversion is one run of a runtime's converter.
type Conversion struct {
	Build   string   // id of the build
	Base    string   // image with the converter, as in Runtime.Base
	Digest  string   // of that image
	Command []string // gets the folder with the files and an empty one as last arguments
}

// Where the converter finds the files, and puts its own.
const (
	convertFolder = "dinp"
	convertIn     = convertFolder + "/in"
	convertOut    = convertFolder + "/out"

	// ConvertedTop is the folder in the stream of Convert that everything is in.
	ConvertedTop = "out/"
)

// convertUser is the user of all base images. It owns what the converter works on, and nothing else.
const convertUser = 1000

// maxConvertPids bounds the processes and threads of a converter.
const maxConvertPids = 512

// Convert runs the converter on the tree, without a network and under the limits of RUN lines, and returns a tar of the
// folder that it has filled. Every line it writes goes to say. The container is gone when the stream is closed.
func (e *Engine) Convert(ctx context.Context, t Tree, v Conversion, say func(string)) (_ io.ReadCloser, err error) {
	clean := func() error { return e.Clean(ctx, v.Build) }
	defer func() {
		if err != nil {
			err = errors.Join(err, clean())
		}
	}()
	id, err := e.createConverter(ctx, v)
	if err != nil {
		return nil, err
	}
	if err := e.fill(ctx, id, t); err != nil {
		return nil, err
	}
	if err := e.runConverter(ctx, id, v, say); err != nil {
		return nil, err
	}
	stream, _, err := e.client.CopyFromContainer(ctx, id, "/"+convertOut)
	if err != nil {
		return nil, e.explain(err)
	}
	return &cleaning{ReadCloser: stream, clean: clean}, nil
}

// cleaning is a stream at whose end something is to be removed.
type cleaning struct {
	io.ReadCloser
	clean func() error
}

// Close implements io.Closer.
func (c *cleaning) Close() error { return errors.Join(c.ReadCloser.Close(), c.clean()) }

func (e *Engine) createConverter(ctx context.Context, v Conversion) (string, error) {
	ref, err := e.pullBase(ctx, v.Base, v.Digest)
	if err != nil {
		return "", err
	}
	args := append(append([]string{}, v.Command[1:]...), "/"+convertIn, "/"+convertOut)
	memory, pids := e.limits.MemoryMiB<<20, int64(maxConvertPids)
	created, err := e.client.ContainerCreate(ctx, &container.Config{
		Image: ref, Entrypoint: v.Command[:1], Cmd: args, User: fmt.Sprint(convertUser), Tty: true, AttachStdout: true, AttachStderr: true,
		Labels: map[string]string{labelBuild: v.Build, labelOwner: e.owner}, NetworkDisabled: true,
	}, &container.HostConfig{
		NetworkMode: "none", CapDrop: []string{"ALL"}, SecurityOpt: []string{"no-new-privileges"},
		LogConfig: container.LogConfig{Type: "none"},
		Resources: container.Resources{
			Memory: memory, MemorySwap: memory, CPUPeriod: 100_000, CPUQuota: e.limits.CPUMilli * 100, PidsLimit: &pids,
		},
	}, nil, nil, "")
	if err != nil {
		return "", e.explain(err)
	}
	return created.ID, nil
}

// pullBase makes sure that the engine has a base image, and returns how it calls it.
func (e *Engine) pullBase(ctx context.Context, base, digest string) (string, error) {
	ref := recipe.Repository(base) + "@" + digest
	if strings.HasPrefix(base, "dinp/") {
		ref = e.registry + "/" + ref
	}
	if _, err := e.client.ImageInspect(ctx, ref); err == nil {
		return ref, nil
	}
	auth, err := registry.EncodeAuthConfig(e.auth)
	if err != nil {
		return "", err
	}
	body, err := e.client.ImagePull(ctx, ref, dockerimage.PullOptions{RegistryAuth: auth})
	if err == nil {
		defer body.Close()
		err = readStream(body, func(message) {})
	}
	if err != nil {
		if err := e.explain(err); model.IsCode(err, model.CodeDockerAway) {
			return "", err
		}
		return "", model.E(model.CodeRegistryAway, "the Docker engine cannot pull %s", ref).WithEvidence(brief(err).Error()).
			WithNext("check that the engine reaches the registry: docker_registry in the builder's configuration; then deploy again").WithCause(err)
	}
	return ref, nil
}

// fill puts the tree and an empty folder into the container.
func (e *Engine) fill(ctx context.Context, id string, t Tree) error {
	r, w := io.Pipe()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		w.CloseWithError(writeConvertFolders(ctx, w, t))
	}()
	err := e.client.CopyToContainer(ctx, id, "/", r, container.CopyToContainerOptions{CopyUIDGID: true})
	r.CloseWithError(io.ErrClosedPipe)
	<-sent
	return e.explain(err)
}

func writeConvertFolders(ctx context.Context, dst io.Writer, t Tree) error {
	w := tar.NewWriter(dst)
	if err := t.part(t.Files, convertIn, convertUser).writeTar(ctx, w); err != nil {
		return err
	}
	if err := w.WriteHeader(header(convertOut+"/", recipe.File{Dir: true}, convertUser)); err != nil {
		return err
	}
	return w.Close()
}

// runConverter starts the container and follows it to its end.
func (e *Engine) runConverter(ctx context.Context, id string, v Conversion, say func(string)) error {
	out, err := e.client.ContainerAttach(ctx, id, container.AttachOptions{Stream: true, Stdout: true, Stderr: true})
	if err != nil {
		return e.explain(err)
	}
	defer out.Close()
	ended, failed := e.client.ContainerWait(ctx, id, container.WaitConditionNextExit)
	if err := e.client.ContainerStart(ctx, id, container.StartOptions{}); err != nil {
		return e.convertError(ctx, v, err, nil)
	}
	stop := context.AfterFunc(ctx, out.Close)
	defer stop()
	last := tail{}
	l := lines{say: func(s string) {
		last.add(s)
		say(s)
	}}
	buf := make([]byte, 8<<10)
	for {
		n, err := out.Reader.Read(buf)
		l.add(string(buf[:n]))
		if err != nil {
			break // the container has ended, or the build was stopped: the wait says which
		}
	}
	l.flush()
	select {
	case err := <-failed:
		return e.convertError(ctx, v, err, last)
	case r := <-ended:
		if r.StatusCode != 0 {
			return e.convertError(ctx, v, fmt.Errorf("it ended with exit code %d", r.StatusCode), last)
		}
		return nil
	}
}

func (e *Engine) convertError(ctx context.Context, v Conversion, err error, last tail) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err := e.explain(err); model.IsCode(err, model.CodeDockerAway) {
		return err
	}
	next := "build the application for what the runtime needs (Jakarta EE 9 or later for Tomcat 10), or choose another runtime"
	if strings.Contains(err.Error(), "exit code 137") {
		next = fmt.Sprintf("it was killed, most likely at the limit of %d MiB memory; let an operator raise dockerfile.memory_mib", e.limits.MemoryMiB)
	}
	return model.E(model.CodeConvert, "%s failed: %s", v.Command[0], brief(err)).WithEvidence(last...).WithNext("%s", next).WithCause(err)
}
