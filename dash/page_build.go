package dash

import (
	"context"
	"strconv"

	"github.com/gin-gonic/gin"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/dash/policy"
	"github.com/dinp/dinp/dash/view"
)

// maxLogLines bounds what a page shows of a build's log; it is more than a log's cap.
const maxLogLines = 11_000

func (d *Dash) deployPage(c *gin.Context) {
	p, err := d.deployData(c)
	if err != nil {
		d.fail(c, err)
		return
	}
	data := p.Data.(view.Deploying)
	var after int64
	if data.Log, after, err = d.logLines(c.Request.Context(), actorOf(c), c.Param("build"), 0); err != nil {
		d.fail(c, err)
		return
	}
	p.Data = data
	p.Live = streamAfter("/live/deploys/"+c.Param("build"), after)
	p.Refresh = !data.Deploy.Done
	d.show(c, "deploy", p, nil)
}

func (d *Dash) deployData(c *gin.Context) (*view.Page, error) {
	state, err := d.DeployState(c.Request.Context(), actorOf(c), c.Param("build"))
	if err != nil {
		return nil, err
	}
	// Every build of a deploy is still cancellable by whoever could begin it.
	data := view.Deploying{Deploy: state, CanCancel: policy.CanSomewhere(actorOf(c), policy.Deploy)}
	data.CanCancel = data.CanCancel && state.Build != nil && !buildEnded(*state.Build)
	return d.newPage(c, "/apps", text(c, "deploy.title", state.App), data), nil
}

func buildEnded(b api.Build) bool { return model.Build{Status: model.BuildStatus(b.Status)}.Ended() }

// logLines reads a build's log from after to its end, and tells where that is.
func (d *Dash) logLines(ctx context.Context, actor model.Actor, id string, after int64) ([]api.LogLine, int64, error) {
	var out []api.LogLine
	for len(out) < maxLogLines {
		p, err := d.BuildLog(ctx, actor, id, after, maxPage)
		if err != nil {
			return nil, after, err
		}
		out = append(out, p.Items...)
		if n := len(p.Items); n > 0 {
			after = p.Items[n-1].Seq
		}
		if p.Next == "" {
			break
		}
	}
	return out, after, nil
}

func streamAfter(path string, seq int64) string {
	return path + "?after=" + strconv.FormatInt(seq, 10)
}

func (d *Dash) buildsPage(c *gin.Context) {
	p, err := d.buildsData(c)
	if err != nil {
		d.fail(c, err)
		return
	}
	d.show(c, "builds", p, nil)
}

func (d *Dash) buildsData(c *gin.Context) (*view.Page, error) {
	list, err := d.Builds(c.Request.Context(), actorOf(c), c.Query("app"), c.Query("before"), 50)
	if err != nil {
		return nil, err
	}
	p := d.newPage(c, "/builds", text(c, "builds.title"), view.Builds{Builds: list.Items, Next: list.Next})
	p.Live = "/live/builds?" + c.Request.URL.RawQuery
	return p, nil
}

func (d *Dash) buildPage(c *gin.Context) { d.showBuild(c, nil) }

func (d *Dash) showBuild(c *gin.Context, problem error) {
	p, err := d.buildData(c)
	if err != nil {
		d.fail(c, err)
		return
	}
	data := p.Data.(view.Build)
	var after int64
	if data.Log, after, err = d.logLines(c.Request.Context(), actorOf(c), data.Build.ID, 0); err != nil {
		d.fail(c, err)
		return
	}
	p.Data = data
	p.Live = streamAfter("/live/builds/"+data.Build.ID, after)
	d.show(c, "build", p, problem)
}

func (d *Dash) buildData(c *gin.Context) (*view.Page, error) {
	b, err := d.Build(c.Request.Context(), actorOf(c), c.Param("build"))
	if err != nil {
		return nil, err
	}
	data := view.Build{Build: b, CanCancel: policy.CanSomewhere(actorOf(c), policy.Deploy) && !buildEnded(b)}
	return d.newPage(c, "/builds", text(c, "build")+" "+b.App, data), nil
}

func (d *Dash) cancelForm(c *gin.Context) {
	if _, err := d.CancelBuild(c.Request.Context(), actorOf(c), c.Param("build")); err != nil {
		d.showBuild(c, err)
		return
	}
	d.done(c, "/deploys/"+c.Param("build"), "flash.cancelled")
}
