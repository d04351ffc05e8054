package dash

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/dash/view"
)

// registerPages adds the web pages: what people see, the forms they send, and the
// streams that keep pages live. Forms are plain posts that end in a redirect.
func (d *Dash) registerPages(r *gin.Engine) {
	open := r.Group("/", d.pageHeaders)
	open.GET("/login", d.loginPage)
	open.POST("/login", limitBody, d.login)
	open.POST("/lang", limitBody, d.chooseLanguage)
	r.GET("/static/*file", func(c *gin.Context) { view.ServeAsset(c.Writer, c.Request) })

	in := r.Group("/", d.pageHeaders, d.requireActor)
	in.GET("/", func(c *gin.Context) { c.Redirect(http.StatusSeeOther, "/apps") })
	in.POST("/logout", d.logout)
	in.GET("/names", d.checkName)
	in.POST("/deploys", d.deployForm) // bounds its body itself: it is a file
	in.GET("/deploys/:build", d.deployPage)
	in.GET("/builds", d.buildsPage)
	in.GET("/builds/:build", d.buildPage)
	in.GET("/rebases", d.rebasesPage)
	in.GET("/rebases/:rebase", d.rebasePage)
	in.GET("/nodes", d.nodesPage)
	in.GET("/people", d.peoplePage)
	in.GET("/tokens", d.tokensPage)
	in.GET("/audit", d.auditPage)
	d.registerAppPages(in.Group("/apps"))
	d.registerForms(in.Group("/", limitBody))
	d.registerStreams(in.Group("/live"))
}

func (d *Dash) registerAppPages(g *gin.RouterGroup) {
	g.GET("", d.appsPage)
	g.GET("/:app", d.appPage(tabOverview))
	g.GET("/:app/deploy", d.appPage(tabDeploy))
	g.GET("/:app/releases", d.appPage(tabReleases))
	g.GET("/:app/env", d.appPage(tabEnv))
	g.GET("/:app/domains", d.appPage(tabDomains))
	g.GET("/:app/routing", d.appPage(tabRouting))
	g.GET("/:app/logs", d.appPage(tabLogs))
	g.GET("/:app/events", d.appPage(tabEvents))
	g.GET("/:app/settings", d.appPage(tabSettings))
}

func (d *Dash) registerForms(g *gin.RouterGroup) {
	g.POST("/apps/:app/scale", d.scaleForm)
	g.POST("/apps/:app/restart", d.restartForm)
	g.POST("/apps/:app/maintenance", d.maintenanceForm)
	g.POST("/apps/:app/pause", d.pauseForm)
	g.POST("/apps/:app/delete", d.deleteForm)
	g.POST("/apps/:app/rollback", d.rollbackForm)
	g.POST("/apps/:app/promote", d.promoteForm)
	g.POST("/apps/:app/pin", d.pinForm)
	g.POST("/apps/:app/env", d.envForm)
	g.POST("/apps/:app/domains", d.bindForm)
	g.POST("/apps/:app/domains/unbind", d.unbindForm)
	g.POST("/apps/:app/routing", d.routingForm)
	g.POST("/apps/:app/settings", d.settingsForm)
	g.POST("/builds/:build/cancel", d.cancelForm)
	g.POST("/rebases", d.rebaseForm)
	g.POST("/rebases/:rebase/stop", d.stopRebaseForm)
	g.POST("/nodes/:node/availability", d.availabilityForm)
	g.POST("/people/users", d.userForm)
	g.POST("/people/teams", d.teamForm)
	g.POST("/people/members", d.memberForm)
	g.POST("/tokens", d.tokenForm)
	g.POST("/tokens/:token/revoke", d.revokeForm)
}

func (d *Dash) registerStreams(g *gin.RouterGroup) {
	g.GET("/apps", d.liveApps)
	g.GET("/apps/:app", d.liveApp)
	g.GET("/apps/:app/logs", d.liveLogs)
	g.GET("/deploys/:build", d.liveDeploy)
	g.GET("/builds", d.liveBuilds)
	g.GET("/builds/:build", d.liveBuild)
	g.GET("/rebases", d.liveRebases)
	g.GET("/rebases/:rebase", d.liveRebase)
	g.GET("/nodes", d.liveNodes)
}

// pagePolicy lets a page load our own files and nothing else; no script or style
// stands in the page itself, so injected text can never become one.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// pageHeaders come with every page. Pages hold what only this person may see, so
// nothing keeps them.
func (d *Dash) pageHeaders(c *gin.Context) {
	c.Header("Content-Security-Policy", pagePolicy)
	c.Header("Cache-Control", "no-store")
	c.Header("Vary", "Cookie, Accept-Language")
}

// Pages speak the language that was chosen, or that the browser asks for.
const langCookie = "dinp_lang"

func langOf(c *gin.Context) string {
	if lang, err := c.Cookie(langCookie); err == nil && view.Known(lang) {
		return lang
	}
	return view.Negotiate(c.GetHeader("Accept-Language"))
}

func (d *Dash) chooseLanguage(c *gin.Context) {
	if lang := c.PostForm("lang"); slices.Contains(view.Languages, lang) {
		d.plainCookie(c, langCookie, lang, int((365 * 24 * time.Hour).Seconds()))
	}
	c.Redirect(http.StatusSeeOther, ownPath(c.PostForm("next")))
}

// ownPath is where to go next if that lies on this host, or the start: a link to
// the login page must not be able to send people elsewhere afterwards.
func ownPath(next string) string {
	if !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n\t") {
		return "/apps"
	}
	return next
}

func (d *Dash) plainCookie(c *gin.Context, name, value string, maxAge int) {
	http.SetCookie(c.Writer, &http.Cookie{
		Name: name, Value: value, Path: "/", MaxAge: maxAge, HttpOnly: true, SameSite: http.SameSiteLaxMode,
		Secure: d.cfg.CookieSecure || c.Request.TLS != nil,
	})
}

// renderError shows an error as a page.
func (d *Dash) renderError(c *gin.Context, status int, e *model.Error) {
	d.pageHeaders(c) // also for paths that no route of ours has
	title := "error.title"
	if status == http.StatusNotFound {
		title = "error.notfound"
	}
	if c.FullPath() == "" {
		e = e.WithNext("") // the router's advice is for programs
	}
	p := d.newPage(c, "", view.Text(langOf(c), title), e)
	p.Class, p.Flash = "narrow", nil
	d.renderStatus(c, status, "error", p)
}
