package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
)

const (
	streamIdle   = 90 * time.Second // servers send a comment far more often
	streamTries  = 8                // in a row without a single event
	maxEventLine = 4 << 20
)

// event is one server-sent event.
type event struct{ id, name, data string }

// decode reads the event's data.
func (e event) decode(into any) error { return json.Unmarshal([]byte(e.data), into) }

// line reads a line of a log from an event. With "done" and "error" the server
// has said its last word on the stream.
func (e event) line(into *api.LogLine) error {
	switch e.name {
	case "log":
		return e.decode(into)
	case "done":
		return errStop
	case "error":
		var body api.ErrorBody
		if err := e.decode(&body); err != nil || body.Error == nil {
			return errors.Join(err, model.E(model.CodeUnavailable, "the server ended the stream"))
		}
		return body.Error
	}
	return nil
}

// errStop is returned by a receiver of events that has seen the last one.
var errStop = errors.New("stop")

// readEvents calls each for every event of a stream until it ends. What comes
// after the last empty line is half an event and is dropped.
func readEvents(r io.Reader, each func(event) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), maxEventLine)
	var e event
	var data []string
	for lines.Scan() {
		if lines.Text() == "" {
			if data != nil {
				e.data = strings.Join(data, "\n")
				if err := each(e); err != nil {
					return err
				}
			}
			e, data = event{id: e.id}, nil
			continue
		}
		field, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "event":
			e.name = value
		case "data":
			data = append(data, value)
		case "id":
			e.id = value
		}
	}
	return lines.Err()
}

// stream is a followed stream of events.
type stream struct {
	path  func() string        // asked before each connection
	each  func(event) error    // errStop ends the stream
	ended func() (bool, error) // asked when the server closed it; nil: it never ends by itself
}

// follow receives a stream, connecting again after a break and telling the
// server the last event it saw. It returns nil once the stream has ended.
func (c *client) follow(ctx context.Context, s stream) error {
	last := ""
	for idle := 0; ; idle++ {
		if idle > 0 {
			if err := sleep(ctx, min(c.pause<<(idle-1), 10*time.Second)); err != nil {
				return err
			}
		}
		err := c.receive(ctx, s.path(), last, func(e event) error {
			if idle = 0; e.id != "" {
				last = e.id
			}
			return s.each(e)
		})
		if errors.Is(err, errStop) {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var t transient
		if err != nil && (!errors.As(err, &t) || idle >= streamTries) {
			return plain(err)
		}
		if err == nil && s.ended != nil {
			if done, err := s.ended(); done || err != nil {
				return err
			}
		}
		if idle >= streamTries {
			return model.E(model.CodeUnavailable, "%s closes the stream each time it is opened", c.base)
		}
	}
}

// receive reads one connection of a stream to its end.
func (c *client) receive(ctx context.Context, path, last string, each func(event) error) error {
	resp, stop, err := c.openStream(ctx, path, last)
	if err != nil {
		return err
	}
	defer stop()
	var own error // of the receiver, who may not be able to use what it got
	err = readEvents(resp, func(e event) error {
		own = each(e)
		return own
	})
	if err == nil || own != nil {
		return err
	}
	return c.broken(ctx, err)
}

// openStream opens a stream that is given up when nothing comes for a while:
// a connection whose other end is gone would otherwise be waited on for hours.
func (c *client) openStream(ctx context.Context, path, last string) (io.Reader, func(), error) {
	alive, cancel := context.WithCancel(ctx)
	dog := time.AfterFunc(streamIdle, cancel)
	req, err := c.request(alive, http.MethodGet, path, nil)
	if err != nil {
		cancel()
		return nil, nil, err
	}
	req.Header.Set("Accept", "text/event-stream")
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	resp, err := c.do(ctx, req)
	if err != nil {
		dog.Stop()
		cancel()
		return nil, nil, err
	}
	stop := func() {
		dog.Stop()
		cancel()
		resp.Body.Close()
	}
	return &watched{r: resp.Body, dog: dog, every: streamIdle}, stop, nil
}

// watched puts a timer off with each read that brings something.
type watched struct {
	r     io.Reader
	dog   *time.Timer
	every time.Duration
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if n > 0 {
		w.dog.Reset(w.every)
	}
	return n, err
}
