package store

import (
	"context"
	"encoding/json"

	"github.com/dinp/dinp/common/model"
)

const eventColumns = `id, at_ms, actor, from_addr, verb, app_id, app_name, subject, message, detail, outcome`

func scanEvent(r scanner) (model.Event, error) {
	var e model.Event
	var at int64
	err := r.Scan(&e.ID, &at, &e.Actor, &e.From, &e.Verb, &e.AppID, &e.AppName, &e.Subject, &e.Message, &e.Detail, &e.Outcome)
	e.At = fromMS(at)
	return e, err
}

// EventFilter selects events. Zero fields select all; the newest come first
// unless After is set, which reads forward from there.
type EventFilter struct {
	AppID  string
	Before int64 // IDs below
	After  int64 // IDs above, oldest first
	Limit  int   // 0: 100, at most 1000
}

// Events lists events by f.
func (s *Store) Events(ctx context.Context, f EventFilter) ([]model.Event, error) {
	q, a := `SELECT `+eventColumns+` FROM events WHERE id > ?`, []any{f.After}
	if f.AppID != "" {
		q, a = q+` AND app_id = ?`, append(a, f.AppID)
	}
	if f.Before > 0 {
		q, a = q+` AND id < ?`, append(a, f.Before)
	}
	order := ` ORDER BY id DESC LIMIT ?`
	if f.After > 0 {
		order = ` ORDER BY id LIMIT ?`
	}
	return list(ctx, s.db, scanEvent, q+order, append(a, limit(f.Limit))...)
}

// AddEvent records an event that belongs to no other change: a refused login,
// a denied action.
func (s *Store) AddEvent(ctx context.Context, e model.Event) error {
	return s.tx(ctx, func(t *tx) error { return t.addEvent(ctx, e) })
}

func (t *tx) addEvent(ctx context.Context, e model.Event) error {
	if e.At.IsZero() {
		e.At = t.now
	}
	if e.Outcome == "" {
		e.Outcome = "ok"
	}
	if e.Detail == "" {
		e.Detail = "{}"
	}
	_, err := t.ExecContext(ctx, `INSERT INTO events (`+eventColumns+`) VALUES (?,?,?,?,?,?,?,?,?,?,?)`,
		t.s.nextID(t.now), ms(e.At), clip(e.Actor, 64), clip(e.From, 64), clip(e.Verb, 64), e.AppID, e.AppName, clip(e.Subject, 255), clip(e.Message, 8000), clip(e.Detail, 1<<20), clip(e.Outcome, 64))
	return err
}

// record adds the event of what a person did to an app.
func (t *tx) record(ctx context.Context, by model.Actor, a model.App, verb, subject, message string, detail any) error {
	d, err := json.Marshal(detail)
	if err != nil || detail == nil {
		d = []byte("{}")
	}
	return t.addEvent(ctx, model.Event{Actor: by.Name, From: by.From, Verb: verb, AppID: a.ID, AppName: a.Name, Subject: subject, Message: message, Detail: string(d)})
}

func limit(n int) int {
	switch {
	case n <= 0:
		return 100
	case n > 1000:
		return 1000
	}
	return n
}

// clip keeps text within its column, counted in bytes, which never allows more
// than the characters the column counts.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xC0 == 0x80 {
		n--
	}
	return s[:n]
}
