package dash

import (
	"net/http"

	"github.com/gin-gonic/gin"
)

func (d *Dash) getMetrics(c *gin.Context) {
	v, err := d.Metrics(c.Request.Context(), actorOf(c), c.Param("app"))
	d.reply(c, http.StatusOK, v, err)
}

func (d *Dash) getTraffic(c *gin.Context) {
	v, err := d.Traffic(c.Request.Context(), actorOf(c))
	d.reply(c, http.StatusOK, v, err)
}
