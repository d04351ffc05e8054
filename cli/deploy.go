package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
)

// deployFlags are the settings of a deploy as they stand on the command line.
// Those that are not given keep the last release's value.
type deployFlags struct {
	image, runtime, filename, team      string
	memory, cpu, health, strategy, note string
	instances, port                     int
	env                                 []string
	drain, deadline, job, sha256        string
	steps, observe                      string
	noWait                              bool
	changed                             func(name string) bool
}

func (f *deployFlags) add(cmd *cobra.Command) {
	v := cmd.Flags()
	v.StringVar(&f.image, "image", "", "deploy an existing image instead of a file")
	v.StringVar(&f.runtime, "runtime", "", "what to lay under the artifact: static, binary, tomcat, dockerfile (default: as detected)")
	v.StringVar(&f.filename, "filename", "", "name of the artifact, when it comes from standard input")
	v.StringVar(&f.sha256, "sha256", "", "SHA-256 that the file at the address must have")
	v.StringVar(&f.team, "team", "", "team that owns the app, when it is new")
	v.IntVar(&f.instances, "instances", 1, "how many instances run")
	v.StringVar(&f.memory, "memory", "", "memory of one instance, as 256M or 2G")
	v.StringVar(&f.cpu, "cpu", "", "cores of one instance, as 0.5 or 2")
	v.StringVar(&f.health, "health", "", "path that is asked whether an instance is healthy, as /healthz")
	v.IntVar(&f.port, "port", model.DefaultPort, "port the app listens on")
	v.StringArrayVar(&f.env, "env", nil, "environment variable K=V (repeat for more)")
	v.StringVar(&f.strategy, "strategy", "", "how the release takes over: rolling, bluegreen or canary (docs/strategies.md)")
	v.StringVar(&f.steps, "steps", "", "a canary's shares of the requests in percent, as 5,25,50 (default 10,50)")
	v.StringVar(&f.observe, "observe", "", "how long a canary's step lasts (default 1m), or bluegreen keeps the old release (default 5m)")
	v.StringVar(&f.drain, "drain", "", "time for open requests before an old instance stops, as 10s")
	v.StringVar(&f.deadline, "deadline", "", "time for the release to become ready, as 5m")
	v.StringVar(&f.note, "note", "", "what this release is about")
	v.StringVar(&f.job, "job", "", "CI job that deploys, for the statement of provenance (default: as GitHub, GitLab or Jenkins tell it)")
	v.BoolVar(&f.noWait, "no-wait", false, "do not wait: print the build's ID and return")
	f.changed = v.Changed
}

func (c *console) deployCommands() []*cobra.Command {
	var f deployFlags
	cmd := c.command(spec{
		use:   "deploy APP [PATH]",
		short: "Deploy an artifact or an image and wait until it serves",
		long: "Deploy a .war, .jar, .tar.gz or .zip, or an existing image, and wait until it serves.\n" +
			"An artifact may be a file, - for standard input, or an address that the platform fetches it from.\n" +
			"The app is created if it is new. The URL is printed on standard output.\n" +
			"The exit code is 0 only when the release serves.",
		example:  "  dinp deploy shop shop.war\n  dinp deploy shop site.tar.gz --memory 128M --env GREETING=hello\n  dinp deploy shop https://ci.example.org/shop.war --sha256 9f86…\n  dinp deploy shop shop.war --strategy canary --steps 5,25,50 --observe 2m\n  dinp deploy shop --image nginx:1.27",
		args:     cobra.RangeArgs(1, 2),
		complete: appThenFile,
		run: func(ctx context.Context, s *session, args []string) error {
			return s.deploy(ctx, f, args)
		},
	})
	f.add(cmd)
	return []*cobra.Command{cmd}
}

func (s *session) deploy(ctx context.Context, f deployFlags, args []string) error {
	app := args[0]
	if err := appArg(app); err != nil {
		return err
	}
	want, err := f.release()
	if err != nil {
		return err
	}
	if want.Job = f.job; want.Job == "" {
		want.Job = ciJob(s.getenv)
	}
	if (len(args) == 2) == (f.image != "") {
		return usage(s.cmd, fmt.Errorf("give either a file, an address or --image"))
	}
	var a artifact
	if len(args) == 2 && isURL(args[1]) {
		want.URL, want.SHA256, want.Filename = args[1], f.sha256, f.filename
	} else if f.sha256 != "" {
		return usage(s.cmd, fmt.Errorf("--sha256 is for an address; the file at hand is checked anyway"))
	}
	if f.image == "" && want.URL == "" {
		if a, err = s.source(ctx, app, args[1], f.filename); err != nil {
			return err
		}
		defer a.file.Close()
	}
	if err := s.ensureApp(ctx, app, f.team); err != nil {
		return err
	}
	if f.image == "" && want.URL == "" {
		if err := s.bring(ctx, app, &a); err != nil {
			return err
		}
		want.Artifact, want.Filename = a.sha256, a.name
	}
	d, err := send[api.Deploy](ctx, s.api, http.MethodPost, at("apps", app, "releases"), want)
	if err != nil {
		return err
	}
	return s.finish(ctx, d, f.noWait)
}

// isURL tells an address from a file.
func isURL(path string) bool {
	return strings.HasPrefix(path, "http://") || strings.HasPrefix(path, "https://")
}

// release turns the flags into the request, without what is known only later.
func (f *deployFlags) release() (api.NewRelease, error) {
	r := api.NewRelease{Image: f.image, Runtime: f.runtime}
	r.Strategy, r.Note = f.strategy, f.note
	var err error
	if r.Env, err = pairs(f.env); err != nil {
		return r, err
	}
	if r.MemoryMiB, err = option(f, "memory", f.memory, model.ParseMemory); err != nil {
		return r, err
	}
	if r.CPUMilli, err = option(f, "cpu", f.cpu, model.ParseCPU); err != nil {
		return r, err
	}
	if r.Drain, err = option(f, "drain", f.drain, parseDuration); err != nil {
		return r, err
	}
	if r.Observe, err = option(f, "observe", f.observe, parseDuration); err != nil {
		return r, err
	}
	if r.Steps, err = model.ParseSteps(f.steps); err != nil {
		return r, err
	}
	if r.Deadline, err = option(f, "deadline", f.deadline, parseDuration); err != nil {
		return r, err
	}
	r.Instances, _ = option(f, "instances", f.instances, keep)
	r.Port, _ = option(f, "port", f.port, keep)
	r.Health, _ = option(f, "health", f.health, keep)
	return r, nil
}

// option returns a flag's value if the flag was given.
func option[V, T any](f *deployFlags, name string, v V, parse func(V) (T, error)) (*T, error) {
	if !f.changed(name) {
		return nil, nil
	}
	t, err := parse(v)
	return &t, err
}

func keep[T any](v T) (T, error) { return v, nil }

func parseDuration(s string) (model.Duration, error) {
	var d model.Duration
	if err := d.UnmarshalJSON([]byte(`"` + s + `"`)); err != nil {
		return 0, model.E(model.CodeBadSize, "%q is not a time", clean(s)).WithNext("write it as 30s or 5m")
	}
	return d, nil
}

// pairs reads K=V words. A value is never repeated in an error: it may be a secret.
func pairs(words []string) (map[string]string, error) {
	if len(words) == 0 {
		return nil, nil
	}
	env := make(map[string]string, len(words))
	for i, w := range words {
		k, v, ok := strings.Cut(w, "=")
		if !ok {
			return nil, model.E(model.CodeBadEnv, "environment variable %d has no =", i+1).WithNext("write it as NAME=value")
		}
		env[k] = v
	}
	return env, model.CheckEnv(env)
}

// source opens what is to be deployed.
func (s *session) source(ctx context.Context, app, path, filename string) (artifact, error) {
	if path == "-" {
		return s.spool(ctx, filename)
	}
	f, err := os.Open(path)
	if err != nil {
		return artifact{}, model.E(model.CodeBadRequest, "%v", err).WithNext("give the path of a .war, .jar, .tar.gz or .zip")
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		f.Close()
		e := model.E(model.CodeBadArtifact, "%s is not a file", path)
		if info.IsDir() {
			return artifact{}, e.WithNext("pack it: tar -czf %s.tar.gz -C %s . && dinp deploy %s %s.tar.gz", app, path, app, app)
		}
		return artifact{}, e.WithNext("pipe it: dinp deploy %s - --filename NAME < %s", app, path)
	}
	if err != nil {
		f.Close()
		return artifact{}, err
	}
	if filename == "" {
		filename = filepath.Base(path)
	}
	return artifact{file: f, name: filename, size: info.Size()}, nil
}

// spool keeps what comes on standard input: its address must be known before
// it is sent, and a broken upload needs it again.
func (s *session) spool(ctx context.Context, filename string) (artifact, error) {
	if filename == "" {
		return artifact{}, usage(s.cmd, fmt.Errorf("an artifact from standard input needs --filename, as in --filename shop.war"))
	}
	f, err := os.CreateTemp("", "dinp-deploy-*")
	if err != nil {
		return artifact{}, err
	}
	os.Remove(f.Name()) // gone with the process, however it ends
	n, err := io.Copy(f, &counted{ctx: ctx, r: s.in, seen: func(int64) {}})
	if err != nil {
		f.Close()
		return artifact{}, fmt.Errorf("read standard input: %w", err)
	}
	return artifact{file: f, name: filename, size: n}, nil
}

// ensureApp creates the app if there is none of that name.
func (s *session) ensureApp(ctx context.Context, app, team string) error {
	_, err := get[api.App](ctx, s.api, at("apps", app))
	if !model.IsKind(err, model.NotFound) {
		return err
	}
	if _, err := send[api.App](ctx, s.api, http.MethodPost, "/apps", api.CreateApp{Name: app, Team: team}); err != nil {
		return err
	}
	fmt.Fprintf(s.err, "created app %s\n", app)
	return nil
}

// bring makes sure that the server has the artifact.
func (s *session) bring(ctx context.Context, app string, a *artifact) error {
	if err := a.cut(ctx); err != nil {
		return err
	}
	had, err := s.api.has(ctx, a.sha256)
	if err != nil {
		return err
	}
	if had {
		fmt.Fprintf(s.err, "%s (%s) is on the server already\n", a.name, size(a.size))
		return nil
	}
	if done, err := s.bringMissing(ctx, app, *a); done || err != nil {
		return err
	}
	if err := s.carry(ctx, s.api.whole(*a)); err != nil {
		return err
	}
	fmt.Fprintf(s.err, "uploaded %s (%s)\n", a.name, size(a.size))
	return nil
}

// bringMissing sends what the server lacks of an artifact. When it cannot make the file of that after all, or does not
// understand the question, it is not done: the whole goes instead.
func (s *session) bringMissing(ctx context.Context, app string, a artifact) (done bool, err error) {
	t, err := s.api.missing(ctx, app, a)
	if t != nil && err == nil {
		err = s.carry(ctx, t)
		done = err == nil
	}
	if done {
		fmt.Fprintf(s.err, "uploaded %s of %s (%s): the server had the rest\n", size(t.length), a.name, size(a.size))
	}
	if model.IsKind(err, model.NotFound) || model.IsKind(err, model.Invalid) {
		return false, nil
	}
	return done, err
}

// carry sends an upload and shows how far it is.
func (s *session) carry(ctx context.Context, t *transfer) error {
	m := newMeter(s.err, "uploading "+t.name, t.length, s.getenv("NO_COLOR") != "")
	defer m.done()
	t.seen = m.seen
	return t.carry(ctx)
}
