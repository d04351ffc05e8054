package dash

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/dinp/dinp/common/api"
)

func (d *Dash) postRebases(c *gin.Context) {
	in, err := decode[api.NewRebase](c)
	if err != nil {
		d.fail(c, err)
		return
	}
	out, err := d.Rebase(c.Request.Context(), actorOf(c), in)
	status := http.StatusOK
	if err == nil && out.ID != "" {
		status = http.StatusAccepted
		c.Header("Location", apiBase+"/rebases/"+out.ID)
	}
	d.reply(c, status, out, err)
}

func (d *Dash) getRebases(c *gin.Context) {
	limit, err := queryInt(c, "limit")
	if err != nil {
		d.fail(c, err)
		return
	}
	out, err := d.Rebases(c.Request.Context(), actorOf(c), c.Query("before"), limit)
	d.reply(c, http.StatusOK, out, err)
}

func (d *Dash) getRebase(c *gin.Context) {
	out, err := d.RebaseState(c.Request.Context(), actorOf(c), c.Param("id"))
	d.reply(c, http.StatusOK, out, err)
}

func (d *Dash) postStopRebase(c *gin.Context) {
	out, err := d.StopRebase(c.Request.Context(), actorOf(c), c.Param("id"))
	d.reply(c, http.StatusOK, out, err)
}
