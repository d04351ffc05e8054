package dash

import (
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/dash/view"
)

// Forms of an app. Each calls one use case; what is refused comes back on the page
// with the form, with what was typed.

func appPath(c *gin.Context, tab string) string {
	if tab == "" {
		return "/apps/" + c.Param("app")
	}
	return "/apps/" + c.Param("app") + "/" + tab
}

func (d *Dash) scaleForm(c *gin.Context) {
	app := c.Param("app")
	n, err := strconv.Atoi(strings.TrimSpace(c.PostForm("instances")))
	var scaled api.App
	if err != nil {
		err = model.E(model.CodeBadSize, "instances is not a number")
	} else {
		scaled, err = d.Scale(c.Request.Context(), actorOf(c), app, api.Scale{Instances: &n})
	}
	if err != nil {
		d.showApp(c, tabOverview, err, nil)
		return
	}
	d.doneBut(c, appPath(c, ""), scaled.Warnings, "flash.scaled", app, n)
}

func (d *Dash) restartForm(c *gin.Context) {
	r, err := d.Restart(c.Request.Context(), actorOf(c), c.Param("app"), "")
	if err != nil {
		d.showApp(c, tabOverview, err, nil)
		return
	}
	d.done(c, appPath(c, ""), "flash.restart", c.Param("app"), r.Version)
}

func (d *Dash) maintenanceForm(c *gin.Context) {
	on := c.PostForm("on") == "true"
	d.switchForm(c, "flash.maintenance", on, api.EditApp{Maintenance: &on})
}

func (d *Dash) pauseForm(c *gin.Context) {
	on := c.PostForm("on") == "true"
	d.switchForm(c, "flash.pause", on, api.EditApp{Paused: &on})
}

func (d *Dash) switchForm(c *gin.Context, key string, on bool, edit api.EditApp) {
	if _, err := d.EditApp(c.Request.Context(), actorOf(c), c.Param("app"), edit); err != nil {
		d.showApp(c, tabOverview, err, nil)
		return
	}
	if on {
		key += ".on"
	} else {
		key += ".off"
	}
	d.done(c, appPath(c, ""), key, c.Param("app"))
}

// deleteForm deletes only when the app's name was typed: it is the one action that
// takes an app's address away.
func (d *Dash) deleteForm(c *gin.Context) {
	app := c.Param("app")
	var err error
	if c.PostForm("confirm") != app {
		err = model.E(model.CodeBadRequest, "%s", text(c, "app.delete.wrong", app))
	} else {
		err = d.DeleteApp(c.Request.Context(), actorOf(c), app, 0)
	}
	if err != nil {
		d.showApp(c, tabOverview, err, nil)
		return
	}
	d.done(c, "/apps", "flash.deleted", app)
}

func (d *Dash) rollbackForm(c *gin.Context) {
	version := c.PostForm("version")
	r, err := d.Rollback(c.Request.Context(), actorOf(c), c.Param("app"), api.Rollback{Version: version})
	if err != nil {
		d.showApp(c, tabReleases, err, nil)
		return
	}
	d.done(c, appPath(c, tabReleases), "flash.rollback", version, r.Version)
}

// promoteForm lets the wanted release through its remaining steps.
func (d *Dash) promoteForm(c *gin.Context) {
	r, err := d.Promote(c.Request.Context(), actorOf(c), c.Param("app"), api.Promote{Version: c.PostForm("version")})
	if err != nil {
		d.showApp(c, tabOverview, err, nil)
		return
	}
	d.done(c, appPath(c, tabOverview), "flash.promote", r.Version)
}

// generationOf is the one the form's values come from; 0, for any, when the form
// does not say.
func generationOf(c *gin.Context) int64 {
	n, err := strconv.ParseInt(c.PostForm("generation"), 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

func (d *Dash) envForm(c *gin.Context) {
	edit, typed := readEnvForm(c)
	before, err := d.App(c.Request.Context(), actorOf(c), c.Param("app"))
	if err == nil && len(edit.Set)+len(edit.Unset) > 0 {
		_, err = d.EditEnv(c.Request.Context(), actorOf(c), c.Param("app"), edit)
	}
	if err != nil {
		d.showApp(c, tabEnv, err, func(a *view.App) { a.New = typed })
		return
	}
	d.saved(c, tabEnv, before, "flash.env")
}

// readEnvForm reads pairs of fields; a row without a name is an empty one, and of
// two with the same name the later counts.
func readEnvForm(c *gin.Context) (api.EditEnv, []view.EnvRow) {
	edit := api.EditEnv{Generation: generationOf(c), Set: map[string]string{}, Unset: c.PostFormArray("remove")}
	names, values := c.PostFormArray("name"), c.PostFormArray("value")
	typed := []view.EnvRow{}
	for i, name := range names {
		name = strings.TrimSpace(name)
		if name == "" || i >= len(values) {
			continue
		}
		edit.Set[name] = values[i]
		typed = append(typed, view.EnvRow{Name: name, Value: values[i]})
	}
	for _, name := range edit.Unset {
		delete(edit.Set, name)
	}
	return edit, append(typed, view.EnvRow{})
}

// saved ends a form that may have made a release, and says which.
func (d *Dash) saved(c *gin.Context, tab string, before api.App, key string) {
	after, err := d.App(c.Request.Context(), actorOf(c), before.Name)
	if err != nil {
		d.fail(c, err)
		return
	}
	if after.Release == before.Release {
		d.done(c, appPath(c, tab), "flash.same")
		return
	}
	d.done(c, appPath(c, tab), key, after.Release)
}

func (d *Dash) bindForm(c *gin.Context) {
	host := c.PostForm("host")
	bound, err := d.BindDomain(c.Request.Context(), actorOf(c), c.Param("app"), host)
	if err != nil {
		d.showApp(c, tabDomains, err, func(a *view.App) { a.Host = host })
		return
	}
	d.done(c, appPath(c, tabDomains), "flash.bound", bound.Host)
}

func (d *Dash) unbindForm(c *gin.Context) {
	host := c.PostForm("host")
	if err := d.UnbindDomain(c.Request.Context(), actorOf(c), c.Param("app"), host); err != nil {
		d.showApp(c, tabDomains, err, nil)
		return
	}
	d.done(c, appPath(c, tabDomains), "flash.unbound", host)
}

func (d *Dash) settingsForm(c *gin.Context) {
	typed := view.Settings{Memory: c.PostForm("memory"), CPU: c.PostForm("cpu"), Port: c.PostForm("port"), Health: c.PostForm("health"), Note: c.PostForm("note")}
	edit, err := readSettings(typed)
	edit.Generation = generationOf(c)
	before, aerr := d.App(c.Request.Context(), actorOf(c), c.Param("app"))
	if err == nil {
		err = aerr
	}
	if err == nil {
		_, err = d.EditApp(c.Request.Context(), actorOf(c), c.Param("app"), edit)
	}
	if err != nil {
		d.showApp(c, tabSettings, err, func(a *view.App) { a.Form = typed })
		return
	}
	d.saved(c, tabSettings, before, "flash.settings")
}

func readSettings(s view.Settings) (api.EditApp, error) {
	memory, err := model.ParseMemory(s.Memory)
	if err != nil {
		return api.EditApp{}, err
	}
	cpu := int64(0)
	if strings.TrimSpace(s.CPU) != "" {
		if cpu, err = model.ParseCPU(s.CPU); err != nil {
			return api.EditApp{}, err
		}
	}
	port, err := strconv.Atoi(strings.TrimSpace(s.Port))
	if err != nil {
		return api.EditApp{}, model.E(model.CodeBadSize, "port is not a number; it must be 1 to 65535")
	}
	health := strings.TrimSpace(s.Health)
	return api.EditApp{MemoryMiB: &memory, CPUMilli: &cpu, Port: &port, Health: &health, Note: s.Note}, nil
}
