package dash

import (
	"net/http"
	"strconv"

	"github.com/gin-gonic/gin"

	"github.com/dinp/dinp/common/api"
)

func (d *Dash) getRouting(c *gin.Context) {
	r, err := d.Routing(c.Request.Context(), actorOf(c), c.Param("app"))
	d.replyRouting(c, r, err)
}

func (d *Dash) patchRouting(c *gin.Context) {
	in, err := decode[api.EditRouting](c)
	if err == nil {
		in.Generation, err = seen(c, in.Generation)
	}
	if err != nil {
		d.fail(c, err)
		return
	}
	r, err := d.EditRouting(c.Request.Context(), actorOf(c), c.Param("app"), in)
	d.replyRouting(c, r, err)
}

func (d *Dash) replyRouting(c *gin.Context, r api.Routing, err error) {
	if err == nil {
		c.Header("ETag", strconv.Quote(strconv.FormatInt(r.Generation, 10)))
	}
	d.reply(c, http.StatusOK, r, err)
}
