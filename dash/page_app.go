package dash

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/dash/policy"
	"github.com/dinp/dinp/dash/view"
)

// runtimes are offered in the deploy form, where any other can be typed: the builders know which an operator has added.
var runtimes = []string{"static", "binary", "java", "tomcat", "node", "python", "php", "dockerfile"}

func (d *Dash) appsPage(c *gin.Context) { d.showApps(c, nil) }

func (d *Dash) showApps(c *gin.Context, problem error) {
	p, err := d.appsData(c)
	if err != nil {
		d.fail(c, err)
		return
	}
	d.show(c, "apps", p, problem)
}

func (d *Dash) appsData(c *gin.Context) (*view.Page, error) {
	ctx, actor := c.Request.Context(), actorOf(c)
	apps, err := d.Apps(ctx, actor, c.Query("after"), 0)
	if err != nil {
		return nil, err
	}
	data := view.Apps{Apps: apps.Items, Next: apps.Next}
	if policy.CanSomewhere(actor, policy.CreateApp) {
		data.Drop = d.dropForm("")
		if data.Drop.Teams, err = d.teamChoice(ctx, actor); err != nil {
			return nil, err
		}
	}
	p := d.newPage(c, "/apps", text(c, "apps.title"), data)
	p.Live = "/live/apps?" + c.Request.URL.RawQuery
	return p, nil
}

func (d *Dash) dropForm(app string) *view.Drop {
	const mark = "app"
	_, host, _ := strings.Cut(d.cfg.AppURL(mark), "://"+mark)
	return &view.Drop{App: app, Suffix: strings.TrimSuffix(host, "/"), Runtimes: runtimes}
}

// teamChoice are the teams a new app may belong to, when there is more than one;
// the one it would belong to by itself comes first.
func (d *Dash) teamChoice(ctx context.Context, actor model.Actor) ([]string, error) {
	names, err := d.teamNames(ctx)
	if err != nil {
		return nil, err
	}
	var out []string
	for id, name := range names {
		if policy.Can(actor, policy.CreateApp, id) {
			out = append(out, name)
		}
	}
	if len(out) < 2 {
		return nil, nil
	}
	slices.SortFunc(out, func(a, b string) int {
		if a == defaultTeam || b == defaultTeam {
			return strings.Compare(strconv.FormatBool(b == defaultTeam), strconv.FormatBool(a == defaultTeam))
		}
		return strings.Compare(a, b)
	})
	return out, nil
}

// The pages of an app, by the last part of their path.
const (
	tabOverview = ""
	tabDeploy   = "deploy"
	tabReleases = "releases"
	tabEnv      = "env"
	tabDomains  = "domains"
	tabRouting  = "routing"
	tabLogs     = "logs"
	tabEvents   = "events"
	tabSettings = "settings"
)

// appTab is what makes one of an app's pages: its template, what it reads, and
// which of its parts are kept live.
type appTab struct {
	page  string
	fill  func(*Dash, *gin.Context, *view.App) error
	parts []string
}

var appTabs = map[string]appTab{
	tabOverview: {"app", (*Dash).fillOverview, []string{"app-head-live", "app-state", "app-why", "app-traffic", "app-instances", "app-switches", "app-facts"}},
	tabDeploy:   {"app_deploy", (*Dash).fillDeploy, []string{"app-head-live"}},
	tabReleases: {"app_releases", (*Dash).fillReleases, []string{"app-head-live", "app-releases"}},
	tabEnv:      {"app_env", (*Dash).fillEnv, []string{"app-head-live"}},
	tabDomains:  {"app_domains", (*Dash).fillDomains, []string{"app-head-live"}},
	tabRouting:  {"app_routing", (*Dash).fillRouting, []string{"app-head-live"}},
	tabLogs:     {"app_logs", (*Dash).fillLogs, nil},
	tabEvents:   {"app_events", (*Dash).fillEvents, []string{"app-head-live", "events-list"}},
	tabSettings: {"app_settings", (*Dash).fillSettings, []string{"app-head-live"}},
}

func (d *Dash) appPage(tab string) gin.HandlerFunc {
	return func(c *gin.Context) { d.showApp(c, tab, nil, nil) }
}

// showApp answers with one of an app's pages. After a form that failed, problem
// says why and typed puts back what was typed.
func (d *Dash) showApp(c *gin.Context, tab string, problem error, typed func(*view.App)) {
	p, err := d.appData(c, tab)
	if err != nil {
		d.fail(c, err)
		return
	}
	if typed != nil {
		data := p.Data.(view.App)
		typed(&data)
		p.Data = data
	}
	d.show(c, appTabs[tab].page, p, problem)
}

func (d *Dash) appData(c *gin.Context, tab string) (*view.Page, error) {
	ctx, actor := c.Request.Context(), actorOf(c)
	app, err := d.appFor(ctx, actor, c.Param("app"), policy.ViewApp)
	if err != nil {
		return nil, err
	}
	data := view.App{Tab: tab, Can: mayDo(actor, app.TeamID)}
	if data.App, err = d.describeApp(ctx, app); err != nil {
		return nil, err
	}
	data.Generation = data.App.Generation
	if err := appTabs[tab].fill(d, c, &data); err != nil {
		return nil, err
	}
	p := d.newPage(c, "/apps", app.Name, data)
	p.Live = "/live/apps/" + app.Name + "?tab=" + tab
	if q := c.Request.URL.RawQuery; q != "" && c.Request.Method == "GET" {
		p.Live += "&" + q
	}
	if tab == tabLogs {
		p.Live = logStreamPath(app.Name, data)
	}
	return p, nil
}

func mayDo(actor model.Actor, teamID string) view.Can {
	can := func(a policy.Action) bool { return policy.Can(actor, a, teamID) }
	return view.Can{
		Deploy: can(policy.Deploy), Env: can(policy.EditEnv), Scale: can(policy.Scale), Configure: can(policy.Configure),
		Domain: can(policy.EditDomain), Delete: can(policy.DeleteApp),
	}
}

func (d *Dash) fillOverview(c *gin.Context, a *view.App) (err error) {
	if a.Instances, err = d.Instances(c.Request.Context(), actorOf(c), a.App.Name); err != nil {
		return err
	}
	if t, err := d.Metrics(c.Request.Context(), actorOf(c), a.App.Name); err == nil { // without a leader the rest still stands
		a.Traffic = &t
	}
	a.Explain, err = d.Explain(c.Request.Context(), actorOf(c), a.App.Name, "")
	return err
}

func (d *Dash) fillDeploy(_ *gin.Context, a *view.App) error {
	a.Drop = d.dropForm(a.App.Name)
	return nil
}

func (d *Dash) fillReleases(c *gin.Context, a *view.App) error {
	p, err := d.Releases(c.Request.Context(), actorOf(c), a.App.Name, c.Query("before"), 50)
	a.Releases, a.Next = p.Items, p.Next
	return err
}

// fillEnv reads values only when they were asked for: a page that is left open on
// a screen should not tell passwords.
func (d *Dash) fillEnv(c *gin.Context, a *view.App) error {
	env := api.Env{}
	a.New = []view.EnvRow{{}}
	if a.Shown = c.Query("values") != ""; a.Shown {
		var err error
		if env, err = d.Env(c.Request.Context(), actorOf(c), a.App.Name); err != nil {
			return err
		}
		a.App.EnvNames = slices.Sorted(maps.Keys(env.Env))
	}
	for _, name := range a.App.EnvNames {
		a.Rows = append(a.Rows, view.EnvRow{Name: name, Value: env.Env[name]})
	}
	return nil
}

func (d *Dash) fillDomains(c *gin.Context, a *view.App) error {
	p, err := d.Domains(c.Request.Context(), actorOf(c), a.App.Name)
	a.Domains = p.Items
	return err
}

func (d *Dash) fillEvents(c *gin.Context, a *view.App) error {
	p, err := d.Events(c.Request.Context(), actorOf(c), EventQuery{App: a.App.Name, Before: c.Query("before")})
	a.Events, a.Next = p.Items, p.Next
	return err
}

func (d *Dash) fillSettings(_ *gin.Context, a *view.App) error {
	a.Form = view.Settings{
		Memory: strconv.FormatInt(a.App.MemoryMiB, 10) + "M", CPU: strconv.FormatFloat(float64(a.App.CPUMilli)/1000, 'f', -1, 64),
		Port: strconv.Itoa(a.App.Port), Health: a.App.Health,
	}
	return nil
}
