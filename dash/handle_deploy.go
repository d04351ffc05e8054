package dash

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
)

const (
	defaultWait  = 15 * time.Minute
	maxWait      = 2 * time.Hour
	followPeriod = 250 * time.Millisecond
)

// putDeploy takes an artifact as the raw body: the one-liner of CI.
func (d *Dash) putDeploy(c *gin.Context) {
	in, wait, err := deployQuery(c)
	if err == nil {
		err = d.readArtifact(c, &in)
	}
	if err != nil {
		d.failUpload(c, err)
		return
	}
	out, err := d.StartDeploy(c.Request.Context(), actorOf(c), c.Param("app"), in)
	d.replyDeploy(c, out, wait, err)
}

// readArtifact checks all that can be checked before the body is read, then
// stores it.
func (d *Dash) readArtifact(c *gin.Context, in *DeployInput) error {
	ctx, actor := c.Request.Context(), actorOf(c)
	if err := checkRequest(in.DeployRequest); err != nil {
		return err
	}
	if _, err := d.deployTarget(ctx, actor, c.Param("app"), *in); err != nil {
		return err
	}
	if has, err := d.announced(c, in); err != nil || has {
		return err
	}
	artifact, err := d.Upload(ctx, actor, newPatientBody(c), in.Filename, c.Request.ContentLength)
	in.Artifact = artifact.SHA256
	if err == nil && in.SHA256 != "" && in.SHA256 != in.Artifact {
		return model.E(model.CodeBadRequest, "the upload was damaged on its way: its sha256 is %s, announced was %s", in.Artifact, in.SHA256).WithNext("send it again")
	}
	in.SHA256 = ""
	return err
}

// announced reports whether the platform has the artifact that sha256= announces: then the body is not read, and a client
// that asked first (Expect: 100-continue, as curl -T does) does not send it.
func (d *Dash) announced(c *gin.Context, in *DeployInput) (bool, error) {
	if in.SHA256 == "" {
		return false, nil
	}
	_, err := d.artifact(c.Request.Context(), actorOf(c), in.SHA256)
	if model.IsKind(err, model.NotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	in.Artifact, in.SHA256 = in.SHA256, ""
	return true, nil
}

// deployQuery reads a deploy's settings from the URL; wait is 0 for not waiting.
func deployQuery(c *gin.Context) (in DeployInput, wait time.Duration, err error) {
	if err := knownQuery(c, deployParams); err != nil {
		return in, 0, err
	}
	in = DeployInput{Filename: c.Query("filename"), Runtime: c.Query("runtime"), Team: c.Query("team"), Job: c.Query("job"), SHA256: strings.ToLower(c.Query("sha256"))}
	in.Note, in.Strategy = c.Query("note"), c.Query("strategy")
	err = errors.Join(
		optional(c, "instances", &in.Instances, strconv.Atoi),
		optional(c, "port", &in.Port, strconv.Atoi),
		optional(c, "memory", &in.MemoryMiB, model.ParseMemory),
		optional(c, "cpu", &in.CPUMilli, model.ParseCPU),
		optional(c, "health", &in.Health, func(s string) (string, error) { return s, nil }),
		optional(c, "deadline", &in.Deadline, parseSpan),
		optional(c, "observe", &in.Observe, parseSpan),
		optional(c, "drain", &in.Drain, parseSpan),
		optional(c, "grace", &in.Grace, parseSpan),
	)
	if err != nil {
		return in, 0, firstError(err)
	}
	if in.Steps, err = model.ParseSteps(c.Query("steps")); err != nil {
		return in, 0, err
	}
	if in.Env, err = envQuery(c.QueryArray("env")); err != nil {
		return in, 0, err
	}
	wait, err = waitQuery(c)
	return in, wait, err
}

func parseSpan(s string) (model.Duration, error) {
	v, err := time.ParseDuration(s)
	return model.Duration(v), err
}

// optional reads a parameter that may be left out. One that is there but empty is
// refused: "instances=" must never mean none.
func optional[T any](c *gin.Context, name string, into **T, parse func(string) (T, error)) error {
	s, given := c.GetQuery(name)
	if !given {
		return nil
	}
	v, err := parse(s)
	if e := (*model.Error)(nil); errors.As(err, &e) {
		return e
	}
	if err != nil {
		return model.E(model.CodeBadSize, "%s=%s cannot be read", name, clip(s, 40)).WithNext("%s/openapi.json shows how it is written", apiBase)
	}
	*into = &v
	return nil
}

// firstError picks the first of joined errors: one refusal at a time has one code.
func firstError(err error) error {
	if m, ok := err.(interface{ Unwrap() []error }); ok {
		return m.Unwrap()[0]
	}
	return err
}

func envQuery(pairs []string) (map[string]string, error) {
	if len(pairs) == 0 {
		return nil, nil
	}
	env := make(map[string]string, len(pairs))
	for _, p := range pairs {
		k, v, ok := strings.Cut(p, "=")
		if !ok {
			return nil, model.E(model.CodeBadEnv, "env=%s is not NAME=VALUE", clip(p, 40))
		}
		env[k] = v
	}
	return env, model.CheckEnv(env)
}

func waitQuery(c *gin.Context) (time.Duration, error) {
	wait, err := queryBool(c, "wait")
	if err != nil {
		return 0, err
	}
	span, err := queryDuration(c, "timeout")
	switch {
	case err != nil || !wait:
		return 0, err
	case span == 0:
		return defaultWait, nil
	}
	return min(span, maxWait), nil
}

// postReleases deploys what is there already: an image, or an artifact.
func (d *Dash) postReleases(c *gin.Context) {
	body, err := decode[api.NewRelease](c)
	if err != nil {
		d.fail(c, err)
		return
	}
	wait, err := waitQuery(c)
	if err != nil {
		d.fail(c, err)
		return
	}
	in := DeployInput{Artifact: body.Artifact, Image: body.Image, Filename: body.Filename, Runtime: body.Runtime, Job: body.Job, URL: body.URL, SHA256: strings.ToLower(body.SHA256), DeployRequest: body.DeployRequest}
	out, err := d.StartDeploy(c.Request.Context(), actorOf(c), c.Param("app"), in)
	d.replyDeploy(c, out, wait, err)
}

// replyDeploy answers a deploy that was begun: at once with a place to follow it,
// or at its end with what came of it.
func (d *Dash) replyDeploy(c *gin.Context, out api.Deploy, wait time.Duration, err error) {
	if err != nil {
		d.fail(c, err)
		return
	}
	if out.Follow != "" {
		c.Header("Location", out.Follow)
	}
	if wait > 0 && !out.Done {
		id, ctx, actor := out.Build.ID, c.Request.Context(), actorOf(c)
		out, err = d.await(ctx, wait, func() (api.Deploy, error) { return d.DeployState(ctx, actor, id) })
	}
	switch {
	case err != nil:
		d.fail(c, err)
	case out.Error != nil:
		d.fail(c, out.Error)
	case out.Done:
		c.JSON(http.StatusOK, out)
	default:
		c.JSON(http.StatusAccepted, out)
	}
}

// await asks for a deploy's state until it is done. That the client goes away, or
// that time is up, ends the waiting and never the deploy.
func (d *Dash) await(ctx context.Context, wait time.Duration, state func() (api.Deploy, error)) (api.Deploy, error) {
	ctx, stop := d.untilStop(ctx)
	defer stop()
	end, tick := time.NewTimer(wait), time.NewTicker(followPeriod)
	defer end.Stop()
	defer tick.Stop()
	for {
		out, err := state()
		if err != nil || out.Done {
			return out, err
		}
		goesOn := func(why string) error {
			return model.E(model.CodeUnavailable, "%s: %s", why, out.State).WithStill("the deploy goes on").WithNext("follow it at %s", out.Follow)
		}
		select {
		case <-ctx.Done():
			return out, goesOn("dash stopped waiting")
		case <-end.C:
			return out, goesOn("not done after " + wait.String())
		case <-tick.C:
		}
	}
}

// getDeploy tells how the deploy of a build goes on, once or as a stream.
func (d *Dash) getDeploy(c *gin.Context) {
	ctx, actor, id := c.Request.Context(), actorOf(c), c.Param("id")
	d.serveDeploy(c, id, func() (api.Deploy, error) { return d.DeployState(ctx, actor, id) })
}

// getReleaseDeploy does the same for a release, however it was made.
func (d *Dash) getReleaseDeploy(c *gin.Context) {
	ctx, actor, app, version := c.Request.Context(), actorOf(c), c.Param("app"), c.Param("version")
	d.serveDeploy(c, "", func() (api.Deploy, error) { return d.ReleaseDeployState(ctx, actor, app, version) })
}

func (d *Dash) serveDeploy(c *gin.Context, buildID string, state func() (api.Deploy, error)) {
	first, err := state()
	if err != nil || !wantsEvents(c) {
		d.reply(c, http.StatusOK, first, err)
		return
	}
	s := d.openEvents(c)
	defer s.close()
	f := deployFeed{d: d, s: s, buildID: buildID, state: state, seq: lastEventID(c)}
	if err := s.poll(followPeriod, f.step); err != nil && s.ctx.Err() == nil {
		d.log.Warn("deploy stream broke", "build", buildID, "err", err)
	}
}

// deployFeed writes a deploy's progress to a stream: the build's new log lines
// and, when it differs from the last, the state.
type deployFeed struct {
	d       *Dash
	s       *eventStream
	buildID string
	state   func() (api.Deploy, error)
	seq     int64
	last    []byte
}

// step asks for the state first and the log second: when the state says done,
// the log that follows is complete.
func (f *deployFeed) step() (bool, error) {
	now, err := f.state()
	if err != nil {
		return false, err
	}
	if f.buildID != "" {
		if f.seq, err = f.d.sendBuildLog(f.s, f.buildID, f.seq); err != nil {
			return false, err
		}
	}
	text, err := json.Marshal(now)
	if err != nil {
		return false, err
	}
	if !bytes.Equal(text, f.last) {
		if err := f.s.send("deploy", "", now); err != nil {
			return false, err
		}
		f.last = text
	}
	if now.Done {
		return true, f.s.send("done", "", now)
	}
	return false, nil
}

// lastEventID is where a reader that came back stopped; 0 for the beginning.
func lastEventID(c *gin.Context) int64 {
	n, err := strconv.ParseInt(c.GetHeader("Last-Event-ID"), 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}
