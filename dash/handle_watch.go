package dash

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
)

func (d *Dash) getInstances(c *gin.Context) {
	v, err := d.Instances(c.Request.Context(), actorOf(c), c.Param("app"))
	d.reply(c, http.StatusOK, v, err)
}

func (d *Dash) getExplain(c *gin.Context) {
	v, err := d.Explain(c.Request.Context(), actorOf(c), c.Param("app"), c.Param("id"))
	d.reply(c, http.StatusOK, v, err)
}

func (d *Dash) getWhatIf(c *gin.Context) {
	q, err := whatIfQuery(c)
	if err != nil {
		d.fail(c, err)
		return
	}
	v, err := d.WhatIf(c.Request.Context(), actorOf(c), q)
	d.reply(c, http.StatusOK, v, err)
}

func whatIfQuery(c *gin.Context) (WhatIfQuery, error) {
	q := WhatIfQuery{Drain: c.Query("drain"), Lose: c.Query("lose"), LoseZone: c.Query("lose_zone"), App: c.Query("app"), Strategy: c.Query("strategy")}
	err := knownQuery(c, whatIfParams)
	if err != nil {
		return q, err
	}
	if q.Add, err = queryInt(c, "add"); err != nil {
		return q, err
	}
	if q.Instances, err = queryInt(c, "instances"); err != nil {
		return q, err
	}
	if c.Query("instances") != "" && q.Instances == 0 || c.Query("add") != "" && q.Add == 0 {
		return q, model.E(model.CodeBadSize, "nothing would be placed: ask about at least 1 instance").WithNext("dinp whatif --help")
	}
	if s := c.Query("memory"); s != "" {
		if q.MemoryMiB, err = model.ParseMemory(s); err != nil {
			return q, err
		}
	}
	if s := c.Query("cpu"); s != "" {
		q.CPUMilli, err = model.ParseCPU(s)
	}
	return q, err
}

func (d *Dash) getNodes(c *gin.Context) {
	v, err := d.Nodes(c.Request.Context(), actorOf(c))
	d.reply(c, http.StatusOK, v, err)
}

func (d *Dash) getNode(c *gin.Context) {
	v, err := d.Node(c.Request.Context(), actorOf(c), c.Param("node"))
	d.reply(c, http.StatusOK, v, err)
}

func (d *Dash) patchNode(c *gin.Context) {
	handleBody(d, c, http.StatusOK, func(in api.EditNode) (api.Node, error) {
		return d.EditNode(c.Request.Context(), actorOf(c), c.Param("node"), in)
	})
}

func (d *Dash) deleteNode(c *gin.Context) {
	d.replyDone(c, d.ForgetNode(c.Request.Context(), actorOf(c), c.Param("node")))
}

func (d *Dash) getSafeMode(c *gin.Context) {
	v, err := d.SafeMode(c.Request.Context(), actorOf(c))
	d.reply(c, http.StatusOK, v, err)
}

func (d *Dash) deleteSafeMode(c *gin.Context) {
	d.replyDone(c, d.EndSafeMode(c.Request.Context(), actorOf(c)))
}

func (d *Dash) getPools(c *gin.Context) {
	v, err := d.Pools(c.Request.Context(), actorOf(c))
	d.reply(c, http.StatusOK, v, err)
}

func (d *Dash) putPool(c *gin.Context) {
	handleBody(d, c, http.StatusOK, func(in api.Pool) (api.Pool, error) {
		return d.SetPool(c.Request.Context(), actorOf(c), c.Param("pool"), in.Policy)
	})
}

func (d *Dash) getVersion(c *gin.Context) {
	c.JSON(http.StatusOK, d.Version())
}

// Version tells the version of the platform, and where its apps answer.
func (d *Dash) Version() api.Version {
	return api.Version{Version: d.cfg.Version, Domain: d.cfg.Domain, URL: d.cfg.AppURL("%s")}
}

func eventQuery(c *gin.Context) (EventQuery, error) {
	limit, err := queryInt(c, "limit")
	q := EventQuery{App: c.Param("app"), Before: c.Query("before"), After: c.Query("after"), Limit: limit}
	if q.App == "" {
		q.App = c.Query("app")
	}
	return q, err
}

func (d *Dash) getAudit(c *gin.Context) {
	q, err := eventQuery(c)
	if err != nil {
		d.fail(c, err)
		return
	}
	p, err := d.Audit(c.Request.Context(), actorOf(c), q)
	d.reply(c, http.StatusOK, p, err)
}

// getEvents tells a page of events or, as a stream, those that come from now on
// (or after ?after= or Last-Event-ID).
func (d *Dash) getEvents(c *gin.Context) {
	q, err := eventQuery(c)
	if err != nil {
		d.fail(c, err)
		return
	}
	if !wantsEvents(c) {
		p, err := d.Events(c.Request.Context(), actorOf(c), q)
		d.reply(c, http.StatusOK, p, err)
		return
	}
	if err := d.startAfter(c, &q); err != nil {
		d.fail(c, err)
		return
	}
	s := d.openEvents(c)
	defer s.close()
	actor := actorOf(c)
	err = s.poll(eventPeriod, func() (bool, error) { return false, d.sendEvents(s, actor, &q) })
	if err != nil && s.ctx.Err() == nil {
		d.log.Warn("event stream broke", "err", err)
	}
}

// eventPeriod is how often a follower of events asks for new ones.
const eventPeriod = time.Second

// startAfter sets where a stream of events begins: where the reader stopped, or
// at the newest event. Asking for it checks the reader's rights, too.
func (d *Dash) startAfter(c *gin.Context, q *EventQuery) error {
	if id := lastEventID(c); id > 0 {
		q.After = strconv.FormatInt(id, 10)
	}
	newest, err := d.Events(c.Request.Context(), actorOf(c), EventQuery{App: q.App, Limit: 1})
	if err != nil {
		return err
	}
	if q.After == "" {
		q.After = "1" // before all: times in microseconds are larger
		if len(newest.Items) > 0 {
			q.After = newest.Items[0].ID
		}
	}
	q.Before, q.Limit = "", maxPage
	return nil
}

func (d *Dash) sendEvents(s *eventStream, actor model.Actor, q *EventQuery) error {
	p, err := d.Events(s.ctx, actor, *q)
	if err != nil {
		return err
	}
	for _, e := range p.Items {
		if err := s.send("event", e.ID, e); err != nil {
			return err
		}
		q.After = e.ID
	}
	if p.Next != "" {
		q.After = p.Next
	}
	return nil
}

func logQuery(c *gin.Context) (LogQuery, bool, error) {
	q := LogQuery{Instance: c.Query("instance"), Release: c.Query("release")}
	if err := knownQuery(c, logParams); err != nil {
		return q, false, err
	}
	var err error
	if q.Tail, err = queryInt(c, "tail"); err != nil {
		return q, false, err
	}
	if q.Since, err = sinceQuery(c.Query("since"), time.Now()); err != nil {
		return q, false, err
	}
	follow, err := queryBool(c, "follow")
	return q, follow, err
}

// sinceQuery reads "10m" as ten minutes before now, or a time of RFC 3339.
func sinceQuery(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if v, err := time.ParseDuration(s); err == nil && v >= 0 {
		return now.Add(-v), nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return t, model.E(model.CodeBadRequest, "since=%s is neither a time span nor a time", clip(s, 40)).WithNext("write it as 10m or 2026-01-31T12:00:00Z")
	}
	return t, nil
}

// getLogs tells an app's output: as events, as text, or as lines of JSON.
func (d *Dash) getLogs(c *gin.Context) {
	q, follow, err := logQuery(c)
	if err != nil {
		d.fail(c, err)
		return
	}
	accept := c.GetHeader("Accept")
	text := strings.Contains(accept, "text/plain")
	media := "application/x-ndjson"
	if text {
		media = "text/plain; charset=utf-8"
	}
	ctx, actor, app := c.Request.Context(), actorOf(c), c.Param("app")
	if !follow {
		lines, err := d.Logs(ctx, actor, app, q)
		if err != nil {
			d.fail(c, err)
			return
		}
		if strings.Contains(accept, "application/json") {
			c.JSON(http.StatusOK, api.Page[api.LogLine]{Items: append([]api.LogLine{}, lines...)})
			return
		}
		s := d.openStream(c, wantsEvents(c), media)
		defer s.close()
		if err := sendLines(s, lines, text); err == nil {
			_ = s.end() // a reader that is gone needs no end
		}
		return
	}
	if _, _, err := d.logTarget(ctx, actor, app, q); err != nil {
		d.fail(c, err) // while the status can still be told
		return
	}
	s := d.openStream(c, wantsEvents(c), media)
	defer s.close()
	err = d.FollowLogs(s.ctx, actor, app, q, func(lines []api.LogLine) error { return sendLines(s, lines, text) })
	if err != nil && s.ctx.Err() == nil {
		_ = s.send("error", "", api.ErrorBody{Error: d.userError(c, err)})
	}
}

func sendLines(s *eventStream, lines []api.LogLine, text bool) error {
	for _, l := range lines {
		out := l.Text
		if !text && !s.events {
			b, err := json.Marshal(l)
			if err != nil {
				return err
			}
			out = string(b)
		}
		if err := s.line("log", "", l, out); err != nil {
			return err
		}
	}
	return s.idle()
}
