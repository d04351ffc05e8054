package dash

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/dinp/dinp/dash/view"
)

func (d *Dash) loginPage(c *gin.Context) {
	if actorOf(c).UserID != "" {
		c.Redirect(http.StatusSeeOther, ownPath(c.Query("next")))
		return
	}
	d.showLogin(c, view.Login{Next: c.Query("next")}, nil)
}

func (d *Dash) showLogin(c *gin.Context, data view.Login, problem error) {
	p := d.newPage(c, "", text(c, "login.title"), data)
	p.Class = "login"
	if p.Path == "/apps" {
		p.Path = "/login"
	}
	d.show(c, "login", p, problem)
}

func (d *Dash) login(c *gin.Context) {
	user, next := c.PostForm("user"), c.PostForm("next")
	actor, err := d.Login(c.Request.Context(), user, c.PostForm("password"), c.ClientIP())
	if err == nil {
		err = d.startSession(c, actor)
	}
	if err != nil {
		d.showLogin(c, view.Login{Next: next, User: user}, err)
		return
	}
	c.Redirect(http.StatusSeeOther, ownPath(next))
}

func (d *Dash) logout(c *gin.Context) {
	if err := d.endSession(c); err != nil {
		d.fail(c, err)
		return
	}
	c.Redirect(http.StatusSeeOther, "/login")
}
