package dash

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/dinp/dinp/common/api"
)

func (d *Dash) getApps(c *gin.Context) {
	limit, err := queryInt(c, "limit")
	if err != nil {
		d.fail(c, err)
		return
	}
	p, err := d.Apps(c.Request.Context(), actorOf(c), c.Query("after"), limit)
	d.reply(c, http.StatusOK, p, err)
}

func (d *Dash) postApps(c *gin.Context) {
	in, err := decode[api.CreateApp](c)
	if err != nil {
		d.fail(c, err)
		return
	}
	app, err := d.CreateApp(c.Request.Context(), actorOf(c), in)
	c.Header("Location", apiBase+"/apps/"+in.Name)
	d.replyApp(c, http.StatusCreated, app, err)
}

// replyApp answers an app with its generation as ETag, for If-Match.
func (d *Dash) replyApp(c *gin.Context, status int, app api.App, err error) {
	if err == nil {
		c.Header("ETag", strconv.Quote(strconv.FormatInt(app.Generation, 10)))
	} else {
		c.Writer.Header().Del("Location")
	}
	d.reply(c, status, app, err)
}

func (d *Dash) getApp(c *gin.Context) {
	app, err := d.App(c.Request.Context(), actorOf(c), c.Param("app"))
	d.replyApp(c, http.StatusOK, app, err)
}

func (d *Dash) patchApp(c *gin.Context) {
	in, err := decode[api.EditApp](c)
	if err == nil {
		in.Generation, err = seen(c, in.Generation)
	}
	if err != nil {
		d.fail(c, err)
		return
	}
	app, err := d.EditApp(c.Request.Context(), actorOf(c), c.Param("app"), in)
	d.replyApp(c, http.StatusOK, app, err)
}

func (d *Dash) deleteApp(c *gin.Context) {
	generation, err := seen(c, 0)
	if err == nil {
		err = d.DeleteApp(c.Request.Context(), actorOf(c), c.Param("app"), generation)
	}
	d.replyDone(c, err)
}

func (d *Dash) postUndelete(c *gin.Context) {
	app, err := d.UndeleteApp(c.Request.Context(), actorOf(c), c.Param("app"))
	d.replyApp(c, http.StatusOK, app, err)
}

func (d *Dash) postScale(c *gin.Context) {
	in, err := decode[api.Scale](c)
	if err == nil {
		in.Generation, err = seen(c, in.Generation)
	}
	if err != nil {
		d.fail(c, err)
		return
	}
	app, err := d.Scale(c.Request.Context(), actorOf(c), c.Param("app"), in)
	d.replyApp(c, http.StatusOK, app, err)
}

func (d *Dash) getEnv(c *gin.Context) {
	env, err := d.Env(c.Request.Context(), actorOf(c), c.Param("app"))
	d.reply(c, http.StatusOK, env, err)
}

func (d *Dash) putEnv(c *gin.Context) {
	handleBody(d, c, http.StatusOK, func(in api.Env) (api.Env, error) {
		generation, err := seen(c, 0)
		if err != nil {
			return in, err
		}
		return d.ReplaceEnv(c.Request.Context(), actorOf(c), c.Param("app"), generation, in)
	})
}

func (d *Dash) patchEnv(c *gin.Context) {
	handleBody(d, c, http.StatusOK, func(in api.EditEnv) (out api.Env, err error) {
		if in.Generation, err = seen(c, in.Generation); err != nil {
			return out, err
		}
		return d.EditEnv(c.Request.Context(), actorOf(c), c.Param("app"), in)
	})
}

func (d *Dash) getDomains(c *gin.Context) {
	p, err := d.Domains(c.Request.Context(), actorOf(c), c.Param("app"))
	d.reply(c, http.StatusOK, p, err)
}

func (d *Dash) postDomains(c *gin.Context) {
	handleBody(d, c, http.StatusCreated, func(in api.Domain) (api.Domain, error) {
		return d.BindDomain(c.Request.Context(), actorOf(c), c.Param("app"), in.Host)
	})
}

func (d *Dash) deleteDomain(c *gin.Context) {
	host := strings.TrimPrefix(c.Param("host"), "/") // may have a path
	d.replyDone(c, d.UnbindDomain(c.Request.Context(), actorOf(c), c.Param("app"), host))
}

func (d *Dash) getReleases(c *gin.Context) {
	limit, err := queryInt(c, "limit")
	if err != nil {
		d.fail(c, err)
		return
	}
	p, err := d.Releases(c.Request.Context(), actorOf(c), c.Param("app"), c.Query("before"), limit)
	d.reply(c, http.StatusOK, p, err)
}

func (d *Dash) getRelease(c *gin.Context) {
	r, err := d.Release(c.Request.Context(), actorOf(c), c.Param("app"), c.Param("version"))
	d.reply(c, http.StatusOK, r, err)
}

func (d *Dash) postRollback(c *gin.Context) {
	in, err := decode[api.Rollback](c)
	if err != nil {
		d.fail(c, err)
		return
	}
	r, err := d.Rollback(c.Request.Context(), actorOf(c), c.Param("app"), in)
	d.replyRelease(c, r, err)
}

func (d *Dash) postPromote(c *gin.Context) {
	in, err := decode[api.Promote](c)
	if err != nil {
		d.fail(c, err)
		return
	}
	r, err := d.Promote(c.Request.Context(), actorOf(c), c.Param("app"), in)
	d.replyRelease(c, r, err)
}

// restart is the body of POST /apps/{app}/restart; it may be left out.
type restart struct {
	Note string `json:"note,omitempty"`
}

func (d *Dash) postRestart(c *gin.Context) {
	in, err := decode[restart](c)
	if err != nil {
		d.fail(c, err)
		return
	}
	r, err := d.Restart(c.Request.Context(), actorOf(c), c.Param("app"), in.Note)
	d.replyRelease(c, r, err)
}

// replyRelease answers a release whose rollout goes on, and where to follow it.
func (d *Dash) replyRelease(c *gin.Context, r api.Release, err error) {
	if err == nil {
		c.Header("Location", releaseFollowPath(c.Param("app"), r.Version))
	}
	d.reply(c, http.StatusAccepted, r, err)
}
