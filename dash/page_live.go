package dash

import (
	"net/url"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/dash/view"
)

// How often a live page looks, and how long one stream lasts. The browser opens
// the next one by itself; that checks its login again.
const (
	lookPeriod   = time.Second
	deployPeriod = 300 * time.Millisecond // somebody is watching a deploy
	streamTime   = 10 * time.Minute
)

// fragment is one part of a page as the script takes it: the element's ID and
// what goes into it.
type fragment struct {
	ID   string `json:"id"`
	HTML string `json:"html"`
}

// liveStream sends a page's parts when they differ from what was sent before.
type liveStream struct {
	d    *Dash
	c    *gin.Context
	out  *eventStream
	page string
	sent map[string]string
	end  time.Time
}

func (d *Dash) openLive(c *gin.Context, page string) *liveStream {
	return &liveStream{d: d, c: c, out: d.openEvents(c), page: page, sent: map[string]string{}, end: time.Now().Add(streamTime)}
}

// parts renders parts of the page and sends those that changed. The first time
// all are sent: the page may be older than the stream.
func (l *liveStream) parts(p *view.Page, parts ...string) error {
	for _, part := range parts {
		html, err := pageViews().Fragment(l.page, part, p)
		if err != nil {
			return err
		}
		if old, ok := l.sent[part]; ok && old == html {
			continue
		}
		id := part
		if part == "app-head-live" {
			id = "app-head" // the part stands alone in it
		}
		if err := l.out.send("fragment", "", fragment{ID: id, HTML: html}); err != nil {
			return err
		}
		l.sent[part] = html
	}
	return nil
}

// lines appends log lines to an element; id lets the browser go on from there.
func (l *liveStream) lines(element, part, id string, lines []api.LogLine) error {
	if len(lines) == 0 {
		return nil
	}
	html, err := pageViews().Fragment(l.page, part, &view.Page{Lang: langOf(l.c), Data: lines})
	if err != nil {
		return err
	}
	return l.out.send("log", id, fragment{ID: element, HTML: html})
}

// run looks again and again, until look says that nothing will change any more,
// or the stream's time is over.
func (l *liveStream) run(period time.Duration, look func() (done bool, err error)) {
	defer l.out.close()
	err := l.out.poll(period, func() (bool, error) {
		done, err := look()
		if err == nil && done {
			return true, l.out.send("end", "", struct{}{})
		}
		return time.Now().After(l.end), err
	})
	l.note(err) // the page keeps what it shows and opens the stream again
}

// livePage is the stream of a page that is described anew each time.
func (d *Dash) livePage(c *gin.Context, page string, data func(*gin.Context) (*view.Page, error), parts ...string) {
	if _, err := data(c); err != nil {
		d.fail(c, err) // before the stream begins: no right to look, or nothing there
		return
	}
	l := d.openLive(c, page)
	l.run(lookPeriod, func() (bool, error) {
		p, err := data(c)
		if model.IsKind(err, model.NotFound) {
			return true, nil // deleted meanwhile
		}
		if err != nil {
			return false, err
		}
		return false, l.parts(p, parts...)
	})
}

func (d *Dash) liveApps(c *gin.Context)   { d.livePage(c, "apps", d.appsData, "apps-list") }
func (d *Dash) liveBuilds(c *gin.Context) { d.livePage(c, "builds", d.buildsData, "builds-list") }
func (d *Dash) liveNodes(c *gin.Context) {
	d.livePage(c, "nodes", d.nodesData, "nodes-survival", "nodes-list", "routers-list")
}

func (d *Dash) liveApp(c *gin.Context) {
	name := c.Query("tab")
	tab, ok := appTabs[name]
	if !ok || len(tab.parts) == 0 {
		d.fail(c, model.E(model.CodeNotFound, "there is no such page"))
		return
	}
	d.livePage(c, tab.page, func(c *gin.Context) (*view.Page, error) { return d.appData(c, name) }, tab.parts...)
}

// afterOf is where a stream of log lines goes on: where the browser says it was
// cut, or where the page ended.
func afterOf(c *gin.Context) int64 {
	for _, s := range []string{c.GetHeader("Last-Event-ID"), c.Query("after")} {
		if n, err := strconv.ParseInt(s, 10, 64); err == nil && n >= 0 {
			return n
		}
	}
	return 0
}

func (d *Dash) liveDeploy(c *gin.Context) {
	d.liveLog(c, "deploy", d.deployData, func(p *view.Page) bool { return p.Data.(view.Deploying).Deploy.Done }, "deploy-state", "deploy-rollout")
}

func (d *Dash) liveBuild(c *gin.Context) {
	d.liveLog(c, "build", d.buildData, func(p *view.Page) bool { return buildEnded(p.Data.(view.Build).Build) }, "build-state")
}

// liveLog is the stream of a page with a build's log, until what it shows is over.
func (d *Dash) liveLog(c *gin.Context, page string, data func(*gin.Context) (*view.Page, error), over func(*view.Page) bool, parts ...string) {
	if _, err := data(c); err != nil {
		d.fail(c, err)
		return
	}
	after := afterOf(c)
	l := d.openLive(c, page)
	l.run(deployPeriod, func() (bool, error) {
		p, err := data(c)
		if err != nil {
			return false, err
		}
		lines, next, err := d.logLines(c.Request.Context(), actorOf(c), c.Param("build"), after)
		if err != nil {
			return false, err
		}
		after = next
		if err := l.lines("build-log", "log-part", strconv.FormatInt(after, 10), lines); err != nil {
			return false, err
		}
		return over(p), l.parts(p, parts...) // what ended has written its last line before
	})
}

// fillLogs reads the last lines. That nobody can be asked for them is told in the
// log's place: the page is still good for choosing an instance.
func (d *Dash) fillLogs(c *gin.Context, a *view.App) error {
	ctx, actor := c.Request.Context(), actorOf(c)
	var err error
	if a.Instances, err = d.Instances(ctx, actor, a.App.Name); err != nil {
		return err
	}
	a.Instance = c.Query("instance")
	if a.Log, err = d.Logs(ctx, actor, a.App.Name, LogQuery{Instance: a.Instance}); err != nil {
		a.Log = []api.LogLine{{At: time.Now(), Text: d.userError(c, err).Message, Stderr: true}}
	}
	return nil
}

func logStreamPath(app string, a view.App) string {
	q := url.Values{"instance": {a.Instance}}
	if n := len(a.Log); n > 0 {
		q.Set("after", strconv.FormatInt(a.Log[n-1].At.UnixMilli(), 10))
	}
	return "/live/apps/" + url.PathEscape(app) + "/logs?" + q.Encode()
}

// liveLogs follows the output of an app's instances. Times are its positions.
func (d *Dash) liveLogs(c *gin.Context) {
	q := LogQuery{Instance: c.Query("instance")}
	if ms := afterOf(c); ms > 0 {
		q.Since, q.Tail = time.UnixMilli(ms+1), maxTail
	}
	if _, err := d.App(c.Request.Context(), actorOf(c), c.Param("app")); err != nil {
		d.fail(c, err)
		return
	}
	l := d.openLive(c, "app_logs")
	lines, end := make(chan []api.LogLine), make(chan error, 1)
	go func() {
		end <- d.FollowLogs(l.out.ctx, actorOf(c), c.Param("app"), q, func(batch []api.LogLine) error {
			select {
			case lines <- batch:
				return nil
			case <-l.out.ctx.Done():
				return l.out.ctx.Err()
			}
		})
	}()
	l.follow(lines, end)
}

// follow writes lines as they come, from the one goroutine that may write.
func (l *liveStream) follow(lines <-chan []api.LogLine, end <-chan error) {
	tick := time.NewTicker(lookPeriod)
	defer tick.Stop()
	var err error
	for ended := false; !ended && err == nil; {
		select {
		case batch := <-lines:
			err = l.lines("app-log", "app-log-part", strconv.FormatInt(batch[len(batch)-1].At.UnixMilli(), 10), batch)
		case <-tick.C:
			if err = l.out.idle(); time.Now().After(l.end) {
				ended = true
			}
		case err = <-end:
			l.note(err)
			l.out.close()
			return
		}
	}
	l.note(err)
	l.out.close()
	<-end // the follower uses the request; it must not outlive it
}

// note logs why a stream ended, unless its reader went away.
func (l *liveStream) note(err error) {
	if err != nil && l.out.ctx.Err() == nil {
		l.d.log.Warn("live page ended", "path", l.c.Request.URL.Path, "err", err)
	}
}
