package dash

import (
	"context"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/dash/policy"
)

func (d *Dash) postCollect(c *gin.Context) {
	in, err := decode[api.Collect](c)
	if err != nil {
		d.fail(c, err)
		return
	}
	out, err := d.Collect(c.Request.Context(), actorOf(c), in)
	d.reply(c, http.StatusOK, out, err)
}

// Pin keeps a release's image and artifact for ever, or lets them go by the rules again.
func (d *Dash) Pin(ctx context.Context, actor model.Actor, name, version string, pinned bool) (api.Release, error) {
	app, err := d.appFor(ctx, actor, name, policy.Deploy)
	if err != nil {
		return api.Release{}, err
	}
	number, err := model.ParseVersion(version)
	if err != nil {
		return api.Release{}, err
	}
	if err := d.store.SetPin(ctx, app.ID, number, pinned, actor); err != nil {
		return api.Release{}, err
	}
	return d.Release(ctx, actor, name, version)
}

func (d *Dash) putPin(c *gin.Context) {
	r, err := d.Pin(c.Request.Context(), actorOf(c), c.Param("app"), c.Param("version"), true)
	d.reply(c, http.StatusOK, r, err)
}

func (d *Dash) deletePin(c *gin.Context) {
	r, err := d.Pin(c.Request.Context(), actorOf(c), c.Param("app"), c.Param("version"), false)
	d.reply(c, http.StatusOK, r, err)
}

func (d *Dash) pinForm(c *gin.Context) {
	version, pinned := c.PostForm("version"), c.PostForm("pin") == "true"
	if _, err := d.Pin(c.Request.Context(), actorOf(c), c.Param("app"), version, pinned); err != nil {
		d.showApp(c, tabReleases, err, nil)
		return
	}
	key := "flash.unpinned"
	if pinned {
		key = "flash.pinned"
	}
	d.done(c, appPath(c, tabReleases), key, version)
}
