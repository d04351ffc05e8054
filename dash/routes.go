package dash

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/dinp/dinp/common/model"
)

// routes is the whole URL map: the API's table is in routes_api.go, the pages'
// in page_routes.go. What is common to all requests is set up here, in the order
// in which it happens.
func (d *Dash) routes() (http.Handler, error) {
	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	r.HandleMethodNotAllowed = true
	r.ContextWithFallback = true
	if err := r.SetTrustedProxies(d.cfg.TrustedProxies); err != nil {
		return nil, model.E(model.CodeBadConfig, "dash: trusted_proxies: %s", err)
	}
	r.Use(d.observe, d.recoverPanic, d.secure, d.sameOrigin(http.NewCrossOriginProtection()), d.authenticate)
	r.NoRoute(func(c *gin.Context) {
		d.fail(c, model.E(model.CodeNotFound, "there is nothing at %s", clip(c.Request.URL.Path, 200)).WithNext("GET /api/v1/openapi.json lists what there is"))
	})
	r.NoMethod(func(c *gin.Context) {
		e := model.E(model.CodeBadRequest, "%s is not possible at %s", c.Request.Method, clip(c.Request.URL.Path, 200))
		d.failWith(c, http.StatusMethodNotAllowed, e)
	})
	d.registerAPI(r)
	d.registerPages(r)
	return r, nil
}
