package runtimetest

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/dinp/dinp/agent/runtime"
)

func lifecycle(t *testing.T, f Fixture) {
	s := created(t, f, nil)
	c := inspect(t, f, s.InstanceID)
	if c.State != runtime.Created || c.InstanceID != s.InstanceID || c.AppID != s.AppID || c.ReleaseID != s.ReleaseID ||
		c.SpecHash != s.Hash || c.MemoryMiB != s.MemoryMiB || c.Addr != "" {
		t.Errorf("created: %+v", c)
	}
	for range 2 { // the second is a no-op
		if err := f.Runtime.Start(t.Context(), s.InstanceID); err != nil {
			t.Fatalf("start: %v", err)
		}
	}
	c = inspect(t, f, s.InstanceID)
	if c.State != runtime.Running || c.Addr == "" || c.CreatedAt.IsZero() || c.StartedAt.Before(c.CreatedAt) {
		t.Errorf("running: %+v", c)
	}
	if l, ok := listed(t, f.Runtime, s.InstanceID); !ok || l.State != runtime.Running || l.Addr != c.Addr || l.ID != c.ID {
		t.Errorf("list has %+v (%v), inspect %+v", l, ok, c)
	}
	for range 2 {
		if err := f.Runtime.Stop(t.Context(), s.InstanceID, 10*time.Second); err != nil {
			t.Fatalf("stop: %v", err)
		}
	}
	if c = inspect(t, f, s.InstanceID); c.State != runtime.Exited || c.Addr != "" {
		t.Errorf("stopped: %+v", c)
	}
	for range 2 {
		if err := f.Runtime.Remove(t.Context(), s.InstanceID); err != nil {
			t.Fatalf("remove: %v", err)
		}
	}
	if _, err := f.Runtime.Inspect(t.Context(), s.InstanceID); !errors.Is(err, runtime.ErrNotFound) {
		t.Errorf("inspect after remove: %v", err)
	}
}

func createTwice(t *testing.T, f Fixture) {
	s := started(t, f, nil)
	first := inspect(t, f, s.InstanceID)
	again, err := f.Runtime.Create(t.Context(), s)
	if err != nil || again.ID != first.ID || again.State != runtime.Running {
		t.Errorf("second create: %+v, %v; want the running %s", again, err, first.ID)
	}
}

func removeImage(t *testing.T, f Fixture) {
	s := started(t, f, nil)
	if err := f.Runtime.RemoveImage(t.Context(), f.Image); !errors.Is(err, runtime.ErrImageUsed) {
		t.Errorf("of a running container: %v", err)
	}
	if err := f.Runtime.Remove(t.Context(), s.InstanceID); err != nil {
		t.Fatalf("remove: %v", err)
	}
	for range 2 { // the second is a no-op
		if err := f.Runtime.RemoveImage(t.Context(), f.Image); err != nil {
			t.Errorf("of nothing: %v", err)
		}
	}
	if _, err := f.Runtime.Create(t.Context(), s); !errors.Is(err, runtime.ErrNoImage) {
		t.Errorf("create without the image: %v", err)
	}
}

func createWithoutImage(t *testing.T, f Fixture) {
	s := NewSpec(t, f.Runtime, f.NoImage, nil)
	if _, err := f.Runtime.Create(t.Context(), s); !errors.Is(err, runtime.ErrNoImage) {
		t.Errorf("create: %v, want ErrNoImage", err)
	}
}

func unknownImage(t *testing.T, f Fixture) {
	err := f.Runtime.EnsureImage(t.Context(), f.NoImage)
	if err == nil || errors.Is(err, runtime.ErrAway) {
		t.Errorf("ensure unknown image: %v, want a refusal", err)
	}
}

func exitCode(t *testing.T, f Fixture) {
	s := started(t, f, env(EnvExit+"=7"))
	if c := exited(t, f, s.InstanceID); c.ExitCode != 7 || c.OOM {
		t.Errorf("ended: %+v, want exit code 7", c)
	}
	if err := f.Runtime.Start(t.Context(), s.InstanceID); err != nil {
		t.Errorf("start of an ended one: %v", err)
	}
	if c := inspect(t, f, s.InstanceID); c.State != runtime.Exited {
		t.Errorf("a second life: %+v", c)
	}
}

func startRefused(t *testing.T, f Fixture) {
	s := created(t, f, nil, NoSuchCommand)
	err := f.Runtime.Start(t.Context(), s.InstanceID)
	if errors.Is(err, runtime.ErrAway) || errors.Is(err, runtime.ErrNotFound) {
		t.Errorf("start: %v, want a refusal", err)
	}
	// An engine that puts an init process in front only fails inside the container.
	if err == nil {
		if c := exited(t, f, s.InstanceID); c.ExitCode != 127 {
			t.Errorf("ended: %+v, want a refusal or exit code 127", c)
		}
	}
	if c := inspect(t, f, s.InstanceID); c.State == runtime.Running {
		t.Errorf("it runs: %+v", c)
	}
	if err := f.Runtime.Remove(t.Context(), s.InstanceID); err != nil {
		t.Errorf("remove: %v", err)
	}
}

func foreign(t *testing.T, f Fixture) {
	ensure(t, f)
	s := NewSpec(t, f.Runtime, f.Image, nil)
	alive := f.Foreign(t, s.InstanceID)
	_, createErr := f.Runtime.Create(t.Context(), s)
	_, inspectErr := f.Runtime.Inspect(t.Context(), s.InstanceID)
	for call, err := range map[string]error{
		"create": createErr, "inspect": inspectErr,
		"start":  f.Runtime.Start(t.Context(), s.InstanceID),
		"stop":   f.Runtime.Stop(t.Context(), s.InstanceID, 0),
		"remove": f.Runtime.Remove(t.Context(), s.InstanceID),
	} {
		if !errors.Is(err, runtime.ErrForeign) {
			t.Errorf("%s: %v, want ErrForeign", call, err)
		}
	}
	if _, ok := listed(t, f.Runtime, s.InstanceID); ok {
		t.Error("the foreign container is listed")
	}
	if !alive() {
		t.Error("the foreign container was touched")
	}
}

func otherNode(t *testing.T, f Fixture) {
	s := started(t, f, nil)
	if _, ok := listed(t, f.Other, s.InstanceID); ok {
		t.Error("the other node lists it")
	}
	if err := f.Other.Remove(t.Context(), s.InstanceID); !errors.Is(err, runtime.ErrForeign) {
		t.Errorf("the other node's remove: %v, want ErrForeign", err)
	}
	if c := inspect(t, f, s.InstanceID); c.State != runtime.Running {
		t.Errorf("after the other node's remove: %+v", c)
	}
}

func eventsTell(t *testing.T, f Fixture) {
	ctx, cancel := context.WithCancel(t.Context())
	events, done := make(chan runtime.Event, 100), make(chan error, 1)
	go func() { done <- f.Runtime.Events(ctx, func(e runtime.Event) { events <- e }) }()
	if e := <-events; e.InstanceID != "" {
		t.Errorf("first event %+v, want the subscription", e)
	}
	s := started(t, f, nil)
	await(t, events, s.InstanceID)
	if err := f.Runtime.Stop(t.Context(), s.InstanceID, time.Second); err != nil {
		t.Fatal(err)
	}
	await(t, events, s.InstanceID)
	if err := f.Runtime.Remove(t.Context(), s.InstanceID); err != nil {
		t.Fatal(err)
	}
	await(t, events, s.InstanceID)
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("events ended with %v", err)
	}
}

func await(t *testing.T, events <-chan runtime.Event, id string) {
	t.Helper()
	for timeout := time.After(patience); ; {
		select {
		case e := <-events:
			if e.InstanceID == id {
				return
			}
		case <-timeout:
			t.Fatal("no event")
		}
	}
}

func logsFollow(t *testing.T, f Fixture) {
	s := started(t, f, env(EnvLines+"=one,two,three"))
	var got []runtime.Line
	printed, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- f.Runtime.Logs(t.Context(), s.InstanceID, time.Time{}, true, func(l runtime.Line) error {
			if got = append(got, l); l.Text == "three" {
				close(printed)
			}
			return nil
		})
	}()
	<-printed
	if err := f.Runtime.Stop(t.Context(), s.InstanceID, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("follow: %v", err)
	}
	if texts := texts(got); !slices.Equal(texts[:3], []string{"one", "two", "three"}) {
		t.Fatalf("followed %q", texts)
	}
	var since []runtime.Line
	err := f.Runtime.Logs(t.Context(), s.InstanceID, got[1].At, false, func(l runtime.Line) error {
		since = append(since, l)
		return nil
	})
	if err != nil || !slices.Contains(texts(since), "two") || (got[0].At.Before(got[1].At) && slices.Contains(texts(since), "one")) {
		t.Errorf("since %v: %q, %v", got[1].At, texts(since), err)
	}
}

func texts(lines []runtime.Line) []string {
	var out []string
	for _, l := range lines {
		out = append(out, l.Text)
	}
	return out
}

func stopKills(t *testing.T, f Fixture) {
	s := started(t, f, env(EnvIgnoreTerm+"=1", EnvLines+"=up"))
	// Until it has printed, the program may not have set up its handler.
	err := f.Runtime.Logs(t.Context(), s.InstanceID, time.Time{}, true, func(runtime.Line) error { return errEnough })
	if !errors.Is(err, errEnough) {
		t.Fatalf("logs: %v", err)
	}
	if err := f.Runtime.Stop(t.Context(), s.InstanceID, time.Second); err != nil {
		t.Fatal(err)
	}
	if c := exited(t, f, s.InstanceID); c.ExitCode != 137 {
		t.Errorf("ended: %+v, want exit code 137", c)
	}
}

var errEnough = errors.New("enough")

func missing(t *testing.T, f Fixture) {
	s := NewSpec(t, f.Runtime, f.Image, nil)
	_, inspectErr := f.Runtime.Inspect(t.Context(), s.InstanceID)
	for call, err := range map[string]error{
		"inspect": inspectErr,
		"start":   f.Runtime.Start(t.Context(), s.InstanceID),
		"stop":    f.Runtime.Stop(t.Context(), s.InstanceID, 0),
		"logs":    f.Runtime.Logs(t.Context(), s.InstanceID, time.Time{}, false, func(runtime.Line) error { return nil }),
	} {
		if !errors.Is(err, runtime.ErrNotFound) {
			t.Errorf("%s: %v, want ErrNotFound", call, err)
		}
	}
}

func cancelled(t *testing.T, f Fixture) {
	ensure(t, f)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := NewSpec(t, f.Runtime, f.Image, nil)
	_, createErr := f.Runtime.Create(ctx, s)
	_, listErr := f.Runtime.List(ctx)
	for call, err := range map[string]error{"create": createErr, "list": listErr, "start": f.Runtime.Start(ctx, s.InstanceID)} {
		if !errors.Is(err, runtime.ErrAway) {
			t.Errorf("%s: %v, want ErrAway", call, err)
		}
	}
}
