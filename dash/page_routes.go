package dash

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/dinp/dinp/common/model"
)

// registerPages adds the web pages.
func (d *Dash) registerPages(r *gin.Engine) {
	r.GET("/", d.requireActor, func(c *gin.Context) { c.String(http.StatusOK, "dinp") })
}

// renderError shows an error as a page.
func (d *Dash) renderError(c *gin.Context, status int, e *model.Error) {
	c.String(status, "%s: %s", e.Code, e.Message)
}
