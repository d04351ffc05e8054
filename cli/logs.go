package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
)

// logFlags select lines of an app's log.
type logFlags struct {
	follow            bool
	since             time.Duration
	tail              int
	instance, release string
	times             bool
}

func (c *console) logsCommand() *cobra.Command {
	var f logFlags
	cmd := c.command(spec{use: "logs APP", short: "Show what an app writes", long: "Show what an app's instances write, those that have gone included.",
		example: "  dinp logs shop\n  dinp logs shop -f --since 10m\n  dinp logs shop --instance 0 --tail 500", args: cobra.ExactArgs(1), complete: appOnly, list: true,
		run: func(ctx context.Context, s *session, args []string) error { return s.logs(ctx, args[0], f) }})
	v := cmd.Flags()
	v.BoolVarP(&f.follow, "follow", "f", false, "go on with new lines")
	v.DurationVar(&f.since, "since", 0, "only lines of the last while, as 10m")
	v.IntVar(&f.tail, "tail", 200, "at most so many lines of what there is")
	v.StringVar(&f.instance, "instance", "", "only this instance: its slot, or the beginning of its ID")
	v.StringVar(&f.release, "release", "", "only this release, as v3")
	v.BoolVarP(&f.times, "times", "t", false, "begin lines with their time")
	return cmd
}

func (s *session) logs(ctx context.Context, app string, f logFlags) error {
	if err := appArg(app); err != nil {
		return err
	}
	q := url.Values{"tail": {strconv.Itoa(f.tail)}}
	if f.since > 0 {
		q.Set("since", f.since.String())
	}
	if f.release != "" {
		n, err := model.ParseVersion(f.release)
		if err != nil {
			return err
		}
		q.Set("release", model.Release{Number: n}.Version())
	}
	if f.instance != "" {
		q.Set("instance", f.instance) // the server knows those that have gone, too
	}
	path := at("apps", app, "logs")
	if !f.follow {
		lines, err := s.lines(ctx, path+"?"+q.Encode())
		if err != nil {
			return err
		}
		return s.printLog(lines, f.times)
	}
	return s.followLog(ctx, path, q, f.times)
}

// followLog prints an app's log as it grows. After a break it asks for what
// came since the last line.
func (s *session) followLog(ctx context.Context, path string, q url.Values, times bool) error {
	q.Set("follow", "true")
	var p position
	return s.api.follow(ctx, stream{
		path: func() string {
			if p.resume(); !p.at.IsZero() {
				q.Set("since", p.at.Format(time.RFC3339Nano))
				q.Del("tail")
			}
			return path + "?" + q.Encode()
		},
		each: func(e event) error {
			var l api.LogLine
			if err := e.line(&l); err != nil || e.name != "log" || !p.move(l) {
				return err
			}
			return s.printLog([]api.LogLine{l}, times)
		},
	})
}

// position is where in an app's log a reader is: its newest time, and what was
// written at it, because a server that is asked again begins with those lines.
type position struct {
	at     time.Time
	read   map[api.LogLine]bool // at that time
	replay map[api.LogLine]bool // of those, what the next connection repeats
}

func (p *position) resume() { p.replay = maps.Clone(p.read) }

// move takes a line, and reports whether it is new.
func (p *position) move(l api.LogLine) bool {
	if p.replay[l] {
		delete(p.replay, l)
		return false
	}
	if l.At.After(p.at) {
		p.at, p.read = l.At, map[api.LogLine]bool{}
	}
	if l.At.Equal(p.at) {
		p.read[l] = true
	}
	return true
}

// printLog prints lines, each with the slot and release it comes from.
func (s *session) printLog(lines []api.LogLine, times bool) error {
	if s.json {
		for _, l := range lines {
			b, err := json.Marshal(l)
			if err != nil {
				return err
			}
			fmt.Fprintf(s.out, "%s\n", b)
		}
		return nil
	}
	for _, l := range lines {
		head := ""
		if times {
			head = l.At.Local().Format("2006-01-02 15:04:05.000 ")
		}
		if l.Release != "" {
			head += fmt.Sprintf("%s.%d ", l.Release, l.Slot)
		}
		if _, err := fmt.Fprintf(s.out, "%s%s\n", head, clean(l.Text)); err != nil {
			return err
		}
	}
	return nil
}

// lines reads a log that is complete, in whichever form it comes: a page of
// JSON, or JSON lines.
func (s *session) lines(ctx context.Context, path string) ([]api.LogLine, error) {
	req, err := s.api.request(ctx, http.MethodGet, path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := s.api.do(ctx, req)
	if err != nil {
		return nil, plain(err)
	}
	defer resp.Body.Close()
	d := json.NewDecoder(resp.Body)
	if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); kind != "application/x-ndjson" {
		var p api.Page[api.LogLine]
		err := d.Decode(&p)
		return p.Items, s.cut(ctx, err)
	}
	var all []api.LogLine
	for {
		var l api.LogLine
		if err := d.Decode(&l); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return all, s.cut(ctx, err)
		}
		all = append(all, l)
	}
}

// cut says that an answer broke off.
func (s *session) cut(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	return plain(s.api.broken(ctx, err))
}

func (c *console) eventsCommand() *cobra.Command {
	var follow bool
	var n int
	cmd := c.command(spec{use: "events [APP]", short: "Show who or what did what, oldest first", example: "  dinp events\n  dinp events shop -f",
		args: cobra.MaximumNArgs(1), complete: appOnly, list: true,
		run: func(ctx context.Context, s *session, args []string) error {
			path := "/events"
			if len(args) == 1 {
				if err := appArg(args[0]); err != nil {
					return err
				}
				path = at("apps", args[0], "events")
			}
			return s.events(ctx, path, n, follow)
		}})
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with new events")
	cmd.Flags().IntVar(&n, "tail", 50, "at most so many of what there is")
	return cmd
}

var eventHead = []string{"AT", "WHO", "WHAT", "APP", "SUBJECT", "OUTCOME", "MESSAGE"}

func eventRow(e api.Event) []string {
	return []string{when(e.At), e.Actor, e.Verb, e.App, shortUUID(e.Subject), e.Outcome, e.Message}
}

func (s *session) events(ctx context.Context, path string, n int, follow bool) error {
	items, err := s.newest(ctx, path, n)
	if err != nil {
		return err
	}
	if !follow {
		return show(s, items, eventHead, eventRow)
	}
	last := ""
	for {
		if err := s.printEvents(items); err != nil {
			return err
		}
		if len(items) > 0 {
			last = items[len(items)-1].ID
		}
		if err := sleep(ctx, 2*s.poll); err != nil {
			return err
		}
		if items, err = s.newer(ctx, path, last, n); err != nil {
			return err
		}
	}
}

// newest reads the last n events, oldest first.
func (s *session) newest(ctx context.Context, path string, n int) ([]api.Event, error) {
	p, err := get[api.Page[api.Event]](ctx, s.api, path+"?limit="+strconv.Itoa(n))
	slices.Reverse(p.Items) // the API begins with the newest
	return p.Items, err
}

// newer reads the events after one, which the API gives oldest first.
func (s *session) newer(ctx context.Context, path, last string, n int) ([]api.Event, error) {
	if last == "" {
		return s.newest(ctx, path, n)
	}
	p, err := get[api.Page[api.Event]](ctx, s.api, path+"?limit=500&after="+url.QueryEscape(last))
	return p.Items, err
}

// printEvents prints events a line each, for they come one by one.
func (s *session) printEvents(items []api.Event) error {
	for _, e := range items {
		if s.json {
			b, err := json.Marshal(e)
			if err != nil {
				return err
			}
			fmt.Fprintf(s.out, "%s\n", b)
			continue
		}
		fmt.Fprintf(s.out, "%s  %s  %s  %s  %s\n", when(e.At), cell(e.Actor), cell(e.Verb), cell(e.App), cell(e.Message))
	}
	return nil
}
