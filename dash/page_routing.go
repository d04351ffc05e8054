package dash

import (
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/dash/view"
)

func (d *Dash) fillRouting(c *gin.Context, a *view.App) error {
	r, err := d.Routing(c.Request.Context(), actorOf(c), a.App.Name)
	a.Routing = view.NewRouting(r.Settings.Show, "")
	return err
}

// routingForm saves all settings: what the form leaves empty is a default.
func (d *Dash) routingForm(c *gin.Context) {
	edit, err := readRoutingForm(c)
	if err == nil {
		_, err = d.EditRouting(c.Request.Context(), actorOf(c), c.Param("app"), edit)
	}
	if err != nil {
		d.showApp(c, tabRouting, err, func(a *view.App) { a.Routing = view.NewRouting(c.PostForm, c.PostForm("new_user")) })
		return
	}
	d.done(c, appPath(c, tabRouting), "flash.routing", c.Param("app"))
}

func readRoutingForm(c *gin.Context) (api.EditRouting, error) {
	edit := api.EditRouting{Generation: generationOf(c), Settings: map[string]any{}}
	for _, name := range model.RoutingNames {
		v, err := model.RoutingValue(name, c.PostForm(name))
		if err != nil {
			return edit, err
		}
		edit.Settings[name] = v
	}
	user := strings.TrimSpace(c.PostForm("new_user"))
	if user == "" {
		return edit, nil
	}
	password := c.PostForm("new_password")
	if password == "" {
		return edit, model.E(model.CodeBadRouting, "%s", text(c, "routing.password.missing", user))
	}
	edit.Passwords = map[string]string{user: password}
	edit.Settings["basic_auth"] = withUser(edit.Settings["basic_auth"], user)
	return edit, nil
}

// withUser is the form's list of users with one more, unless it is there.
func withUser(list any, user string) []model.BasicUser {
	users, _ := list.([]model.BasicUser)
	for _, u := range users {
		if u.Name == user {
			return users
		}
	}
	return append(users, model.BasicUser{Name: user})
}
