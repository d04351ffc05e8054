package dash

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/dinp/dinp/dash/policy"
)

func (d *Dash) getBuilds(c *gin.Context) {
	limit, err := queryInt(c, "limit")
	if err != nil {
		d.fail(c, err)
		return
	}
	app := c.Param("app")
	if app == "" {
		app = c.Query("app")
	}
	p, err := d.Builds(c.Request.Context(), actorOf(c), app, c.Query("before"), limit)
	d.reply(c, http.StatusOK, p, err)
}

func (d *Dash) getBuild(c *gin.Context) {
	b, err := d.Build(c.Request.Context(), actorOf(c), c.Param("id"))
	d.reply(c, http.StatusOK, b, err)
}

func (d *Dash) postCancel(c *gin.Context) {
	b, err := d.CancelBuild(c.Request.Context(), actorOf(c), c.Param("id"))
	d.reply(c, http.StatusOK, b, err)
}

// getBuildLog tells a build's log in the form the client asked for: a page of
// JSON, server-sent events until the build ends, or plain text.
func (d *Dash) getBuildLog(c *gin.Context) {
	after, err := queryInt(c, "after")
	if err != nil {
		d.fail(c, err)
		return
	}
	follow, err := queryBool(c, "follow")
	if err != nil {
		d.fail(c, err)
		return
	}
	ctx, actor, id := c.Request.Context(), actorOf(c), c.Param("id")
	if strings.Contains(c.GetHeader("Accept"), "application/json") {
		p, err := d.BuildLog(ctx, actor, id, int64(after), maxPage)
		d.reply(c, http.StatusOK, p, err)
		return
	}
	if _, _, err := d.buildFor(ctx, actor, id, policy.ViewApp); err != nil {
		d.fail(c, err)
		return
	}
	events := wantsEvents(c)
	s := d.openStream(c, events, "text/plain; charset=utf-8")
	defer s.close()
	d.streamBuildLog(s, id, max(int64(after), lastEventID(c)), follow || events)
}

// logPeriod is between two looks at the log of a build that somebody follows. Each is two short queries.
const logPeriod = 100 * time.Millisecond

func (d *Dash) streamBuildLog(s *eventStream, id string, seq int64, follow bool) {
	err := s.poll(logPeriod, func() (done bool, err error) {
		b, err := d.store.Build(s.ctx, id) // before the log: an ended build's log is complete
		if err != nil {
			return false, err
		}
		if seq, err = d.sendBuildLog(s, id, seq); err != nil {
			return false, err
		}
		if !follow || b.Ended() {
			return true, s.end()
		}
		return false, nil
	})
	if err != nil && s.ctx.Err() == nil {
		d.log.Warn("build log stream broke", "build", id, "err", err)
	}
}

// sendBuildLog sends all lines after seq and returns the last one's.
func (d *Dash) sendBuildLog(s *eventStream, id string, seq int64) (int64, error) {
	for {
		lines, err := d.buildLines(s.ctx, id, seq, maxPage)
		if err != nil {
			return seq, err
		}
		for _, l := range lines {
			if err := s.line("log", strconv.FormatInt(l.Seq, 10), l, l.Text); err != nil {
				return seq, err
			}
			seq = l.Seq
		}
		if len(lines) < maxPage {
			return seq, nil
		}
	}
}
