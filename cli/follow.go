package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
)

// follower prints the events of a deploy, each thing once, and keeps the last
// word on it.
type follower struct {
	err  io.Writer
	seq  int64 // of the last line of the build's log
	text string
	last api.Deploy
}

func (f *follower) event(e event) error {
	switch e.name {
	case "log":
		var l api.LogLine
		if err := e.decode(&l); err != nil {
			return err
		}
		if l.Seq == 0 || l.Seq > f.seq { // a new connection begins with old lines
			f.seq = max(f.seq, l.Seq)
			fmt.Fprintf(f.err, "  %s\n", clean(l.Text))
		}
	case "deploy":
		var d api.Deploy
		if err := e.decode(&d); err != nil {
			return err
		}
		f.see(d)
		if d.Done {
			return errStop
		}
	}
	return nil
}

func (f *follower) see(d api.Deploy) {
	if d.Follow == "" {
		d.Follow = f.last.Follow
	}
	f.last = d
	if d.State != "" && d.State != f.text {
		f.text = d.State
		fmt.Fprintln(f.err, clean(d.State))
	}
}

// finish follows a deploy to its end and prints the URL, or says why it failed.
func (s *session) finish(ctx context.Context, d api.Deploy, noWait bool) error {
	f := &follower{err: s.err}
	f.see(d)
	switch {
	case d.Unchanged:
		fmt.Fprintf(s.err, "unchanged: %s serves the same content and settings already\n", d.App)
	case noWait:
		return s.hand(d)
	case !d.Done:
		if err := s.api.follow(ctx, stream{path: func() string { return d.Follow }, each: f.event}); err != nil {
			return s.parted(d, err)
		}
	}
	return s.conclude(f.last)
}

// hand leaves a deploy to itself and says how to come back to it.
func (s *session) hand(d api.Deploy) error {
	if id := buildID(d); id != "" {
		fmt.Fprintln(s.out, id)
		fmt.Fprintf(s.err, "it goes on; watch it with: dinp build follow %s\n", id)
		return nil
	}
	fmt.Fprintf(s.err, "it goes on; watch it with: dinp explain %s\n", d.App)
	return nil
}

// parted says, when the watching ended and not the deploy, that it goes on.
func (s *session) parted(d api.Deploy, err error) error {
	id := buildID(d)
	watch := "dinp explain " + d.App
	if id != "" {
		watch = "dinp build follow " + id
	}
	if errors.Is(err, context.Canceled) {
		fmt.Fprintf(s.err, "the deploy of %s goes on\n  watch it:  %s\n", d.App, watch)
		if id != "" {
			fmt.Fprintf(s.err, "  cancel it: dinp cancel %s\n", id)
		}
		return err
	}
	var e *model.Error
	if errors.As(err, &e) && e.Kind == model.Unavailable {
		return e.WithStill("the deploy of %s goes on by itself", d.App).WithNext("%s", watch)
	}
	return err
}

func buildID(d api.Deploy) string {
	if d.Build == nil {
		return ""
	}
	return d.Build.ID
}

// conclude is the end of a deploy: its URL, or its error.
func (s *session) conclude(d api.Deploy) error {
	if d.OK || d.Unchanged {
		fmt.Fprintln(s.out, d.URL)
		return nil
	}
	e := d.Error
	if e == nil && d.Deployment != nil {
		e = d.Deployment.Error
	}
	if e == nil && d.Build != nil {
		e = d.Build.Error
	}
	if e == nil {
		e = model.E(model.CodeNotReady, "the deploy of %s ended and does not serve: %s", d.App, d.State)
	}
	return withNext(e, "dinp explain %s", d.App)
}
