package dash

import (
	"context"
	"encoding/json"
	"strconv"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/dash/policy"
	"github.com/dinp/dinp/sql/store"
)

// EventQuery selects a page of events.
type EventQuery struct {
	App    string // "" for all apps that may be seen
	Before string // ID: older ones, newest first
	After  string // ID: newer ones, oldest first
	Limit  int
}

// Events lists what happened to an app, or to all that actor may see.
func (d *Dash) Events(ctx context.Context, actor model.Actor, q EventQuery) (api.Page[api.Event], error) {
	f, err := q.filter()
	if err != nil {
		return api.Page[api.Event]{}, err
	}
	keep := func(model.Event) bool { return true }
	if q.App != "" {
		app, err := d.appFor(ctx, actor, q.App, policy.ViewApp)
		if err != nil {
			return api.Page[api.Event]{}, err
		}
		f.AppID = app.ID
	} else if !policy.Can(actor, policy.ViewAudit, "") {
		keep = d.ofVisibleApps(ctx, actor)
	}
	return d.eventPage(ctx, f, keep)
}

// Audit lists everything that happened on the platform.
func (d *Dash) Audit(ctx context.Context, actor model.Actor, q EventQuery) (api.Page[api.Event], error) {
	if err := d.mayPlatform(ctx, actor, policy.ViewAudit); err != nil {
		return api.Page[api.Event]{}, err
	}
	return d.Events(ctx, actor, q)
}

func (q EventQuery) filter() (store.EventFilter, error) {
	f := store.EventFilter{Limit: pageSize(q.Limit) + 1}
	for _, v := range []struct {
		text string
		into *int64
	}{{q.Before, &f.Before}, {q.After, &f.After}} {
		if v.text == "" {
			continue
		}
		n, err := strconv.ParseInt(v.text, 10, 64)
		if err != nil || n < 0 {
			return f, model.E(model.CodeBadRequest, "%q is not the id of an event", clip(v.text, 40))
		}
		*v.into = n
	}
	return f, nil
}

// ofVisibleApps keeps the events of apps that actor may see. Apps are looked up
// once each.
func (d *Dash) ofVisibleApps(ctx context.Context, actor model.Actor) func(model.Event) bool {
	known := map[string]bool{"": false}
	return func(e model.Event) bool {
		ok, found := known[e.AppID]
		if !found {
			app, err := d.store.AppByID(ctx, e.AppID)
			ok = err == nil && policy.Can(actor, policy.ViewApp, app.TeamID)
			known[e.AppID] = ok
		}
		return ok
	}
}

// eventScan bounds how many batches are read to fill one page: with many teams,
// most events may be of others.
const eventScan = 20

// eventPage reads until a page is full of events to keep. Next goes on where
// reading stopped, even when the page is short.
func (d *Dash) eventPage(ctx context.Context, f store.EventFilter, keep func(model.Event) bool) (api.Page[api.Event], error) {
	out := api.Page[api.Event]{Items: []api.Event{}}
	n := f.Limit - 1
	for range eventScan {
		found, err := d.store.Events(ctx, f)
		if err != nil {
			return out, err
		}
		for _, e := range found {
			if len(out.Items) == n {
				return out, nil
			}
			out.Next = strconv.FormatInt(e.ID, 10)
			if f.After > 0 {
				f.After = e.ID
			} else {
				f.Before = e.ID
			}
			if keep(e) {
				out.Items = append(out.Items, eventOut(e))
			}
		}
		if len(found) < f.Limit {
			out.Next = ""
			return out, nil
		}
	}
	return out, nil
}

func eventOut(e model.Event) api.Event {
	out := api.Event{
		ID: strconv.FormatInt(e.ID, 10), At: e.At, Actor: e.Actor, From: e.From, Verb: e.Verb, App: e.AppName, Subject: e.Subject, Message: e.Message, Outcome: e.Outcome,
	}
	if e.Detail != "" && e.Detail != "{}" && json.Valid([]byte(e.Detail)) {
		out.Detail = json.RawMessage(e.Detail)
	}
	return out
}
