package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"

	"github.com/dinp/dinp/agent/runtime"
	"github.com/dinp/dinp/common/model"
)

// within makes one call with a deadline and gives its error the agent's meaning.
func within(ctx context.Context, d time.Duration, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return meaning(call(ctx))
}

// meaning tells an engine that did not answer from one that refused: only the
// second may be concluded upon.
func meaning(err error) error {
	switch {
	case err == nil:
		return nil
	case unanswered(err), errdefs.IsUnavailable(err):
		return fmt.Errorf("%w: %w", runtime.ErrAway, err)
	case errdefs.IsNotFound(err):
		return fmt.Errorf("%w: %w", runtime.ErrNotFound, err)
	}
	return err
}

func unanswered(err error) bool {
	var netErr net.Error
	var urlErr *url.Error
	return client.IsErrConnectionFailed(err) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.As(err, &netErr) || errors.As(err, &urlErr)
}

func isConflict(err error) bool { return errdefs.IsConflict(err) }

// EnsureImage implements runtime.Runtime. A pull may take as long as it makes
// progress: no fixed time fits both a 20 MB and a 2 GB image.
func (d *Docker) EnsureImage(ctx context.Context, name string) error {
	ref := d.o.imageRef(name)
	err := within(ctx, askTimeout, func(ctx context.Context) error {
		_, err := d.api.ImageInspect(ctx, ref)
		return err
	})
	if !errors.Is(err, runtime.ErrNotFound) {
		return err
	}
	auth, err := d.auth()
	if err != nil {
		return err
	}
	ctx, idle := withIdle(ctx, d.o.PullIdle)
	defer idle.stop()
	body, err := d.api.ImagePull(ctx, ref, image.PullOptions{RegistryAuth: auth})
	if err != nil {
		return pullError(ctx, err)
	}
	defer body.Close()
	return pullError(ctx, drainPull(body, idle))
}

// errStalled is the end of a pull that showed no progress.
var errStalled = errors.New("the pull made no progress")

// pullError tells a slow or broken registry, which the app's image suffers
// from, from an engine that is away, which is the node's condition.
func pullError(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(context.Cause(ctx), errStalled) {
		return errStalled
	}
	if unanswered(err) {
		return fmt.Errorf("%w: %w", runtime.ErrAway, err)
	}
	return err
}

// drainPull reads the engine's progress. It answers 200 before it pulls: a
// failure is a message in the stream.
func drainPull(body io.Reader, idle *idleTimer) error {
	for dec := json.NewDecoder(body); ; {
		var m struct {
			Error string `json:"error"`
		}
		if err := dec.Decode(&m); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if m.Error != "" {
			return errors.New(m.Error)
		}
		idle.touch()
	}
}

// idleTimer ends a context when touch is not called for a while.
type idleTimer struct {
	d      time.Duration
	timer  *time.Timer
	cancel context.CancelCauseFunc
}

func withIdle(ctx context.Context, d time.Duration) (context.Context, *idleTimer) {
	ctx, cancel := context.WithCancelCause(ctx)
	return ctx, &idleTimer{d: d, cancel: cancel, timer: time.AfterFunc(d, func() { cancel(errStalled) })}
}

func (t *idleTimer) touch() { t.timer.Reset(t.d) }

func (t *idleTimer) stop() {
	t.timer.Stop()
	t.cancel(nil)
}

// Events implements runtime.Runtime.
func (d *Docker) Events(ctx context.Context, f func(runtime.Event)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	want := d.o.onlyOurs()
	want.Add("type", string(events.ContainerEventType))
	for _, action := range []events.Action{events.ActionStart, events.ActionDie, events.ActionDestroy} {
		want.Add("event", string(action))
	}
	messages, errs := d.api.Events(ctx, events.ListOptions{Filters: want})
	f(runtime.Event{})
	for {
		select {
		case m := <-messages:
			if id := m.Actor.Attributes[model.LabelInstance]; id != "" {
				f(runtime.Event{InstanceID: id})
			}
		case err := <-errs:
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("%w: events: %w", runtime.ErrAway, err)
		}
	}
}
