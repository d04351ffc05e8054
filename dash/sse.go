package dash

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
)

const (
	pingPeriod  = 15 * time.Second // keeps proxies from closing a quiet stream
	writeWindow = 30 * time.Second // a reader that takes longer for one write is gone
)

// wantsEvents reports whether the client asked for server-sent events.
func wantsEvents(c *gin.Context) bool {
	return strings.Contains(c.GetHeader("Accept"), "text/event-stream")
}

// eventStream writes a long answer, each piece flushed at once: server-sent
// events, or plain lines. It ends with the request or with dash. One goroutine
// uses it.
type eventStream struct {
	c      *gin.Context
	ctx    context.Context // of the request, ended by shutdown too: the type is that lifetime
	stop   context.CancelFunc
	rc     *http.ResponseController
	wrote  time.Time
	events bool // else lines
}

// openEvents begins a stream of events; the caller closes it.
func (d *Dash) openEvents(c *gin.Context) *eventStream { return d.openStream(c, true, "") }

// openStream begins a stream of events, or of lines of a media type.
func (d *Dash) openStream(c *gin.Context, events bool, media string) *eventStream {
	ctx, stop := d.untilStop(c.Request.Context())
	s := &eventStream{c: c, ctx: ctx, stop: stop, rc: http.NewResponseController(c.Writer), wrote: time.Now(), events: events}
	if events {
		media = "text/event-stream; charset=utf-8"
	}
	h := c.Writer.Header()
	h.Set("Content-Type", media)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx would hold events back
	c.Status(http.StatusOK)
	c.Writer.WriteHeaderNow()
	c.Writer.Flush()
	return s
}

// untilStop is ctx, ended by the end of dash as well: what follows something
// would otherwise hold the shutdown up.
func (d *Dash) untilStop(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() {
		select {
		case <-d.stopping:
			cancel(errStopping)
		case <-ctx.Done():
		}
		close(done)
	}()
	return ctx, func() {
		cancel(context.Canceled)
		<-done
	}
}

var errStopping = errors.New("dash is stopping")

func (s *eventStream) close() { s.stop() }

// send writes one event; id may be "".
func (s *eventStream) send(event, id string, data any) error {
	b, err := json.Marshal(data)
	if err != nil {
		return err
	}
	text := fmt.Sprintf("event: %s\ndata: %s\n\n", event, b)
	if id != "" {
		text = "id: " + id + "\n" + text
	}
	return s.write(text)
}

// line writes one line of a log: an event, or its text.
func (s *eventStream) line(event, id string, data any, text string) error {
	if s.events {
		return s.send(event, id, data)
	}
	return s.write(text + "\n")
}

// end tells a reader of events that nothing more comes, so that it does not
// connect again.
func (s *eventStream) end() error {
	if !s.events {
		return nil
	}
	return s.send("done", "", struct{}{})
}

// idle writes a comment when nothing was written for a while.
func (s *eventStream) idle() error {
	if !s.events || time.Since(s.wrote) < pingPeriod {
		return nil
	}
	return s.write(": still here\n\n")
}

func (s *eventStream) write(text string) error {
	if err := s.ctx.Err(); err != nil {
		return err
	}
	s.wrote = time.Now()
	if err := s.rc.SetWriteDeadline(time.Now().Add(writeWindow)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if _, err := s.c.Writer.WriteString(text); err != nil {
		return err
	}
	s.c.Writer.Flush()
	return nil
}

// poll calls f until it says that it is done, fails, or the stream ends; between
// calls it waits for period.
func (s *eventStream) poll(period time.Duration, f func() (done bool, err error)) error {
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	for {
		if done, err := f(); done || err != nil {
			return err
		}
		if err := s.idle(); err != nil {
			return err
		}
		select {
		case <-s.ctx.Done():
			return s.ctx.Err()
		case <-ticker.C:
		}
	}
}
