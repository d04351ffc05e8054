// Package runtimetest is the suite that every runtime.Runtime must pass: what
// the agent relies on, told as tests.
package runtimetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/dinp/dinp/agent/runtime"
	"github.com/dinp/dinp/test/testenv"
)

// The test program of Image obeys these variables.
const (
	EnvLines      = "TEST_LINES"       // comma separated lines to print at start
	EnvExit       = "TEST_EXIT"        // exit code to end with at once
	EnvIgnoreTerm = "TEST_IGNORE_TERM" // "1": go on after SIGTERM
	NoSuchCommand = "/no-such-program" // as Command: cannot be started
)

// Fixture is a Runtime under test and what surrounds it.
type Fixture struct {
	Runtime runtime.Runtime
	Other   runtime.Runtime // another node on the same engine
	Image   string          // can be pulled, is not on the host yet
	NoImage string          // cannot be pulled
	// Foreign makes a container that is not ours run under an instance's name,
	// and returns a func that tells whether it still does.
	Foreign func(t *testing.T, instanceID string) (alive func() bool)
}

const patience = 30 * time.Second

// Run runs the suite; fixture is called once for each test.
func Run(t *testing.T, fixture func(t *testing.T) Fixture) {
	for name, test := range map[string]func(*testing.T, Fixture){
		"Lifecycle_CreatedRunningExitedRemoved":      lifecycle,
		"Create_Repeated_IsTheSameContainer":         createTwice,
		"Create_WithoutImage_SaysSo":                 createWithoutImage,
		"EnsureImage_Unknown_IsNotTheEnginesFault":   unknownImage,
		"RemoveImage_UsedStays_UnusedGoes":           removeImage,
		"Exit_CodeIsKept":                            exitCode,
		"Start_Refused_LeavesAContainerToRemove":     startRefused,
		"Foreign_IsNeverTouched":                     foreign,
		"OtherNode_IsInvisible":                      otherNode,
		"Events_TellOfStartExitAndRemoval":           eventsTell,
		"Logs_SinceAndFollow":                        logsFollow,
		"Stop_ThatIsIgnored_Kills":                   stopKills,
		"Missing_IsErrNotFound":                      missing,
		"CancelledContext_LeavesTheOutcomeUndecided": cancelled,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, fixture(t))
		})
	}
}

// NewSpec returns a Spec of the fixture's image that is removed with the test.
func NewSpec(t *testing.T, rt runtime.Runtime, image string, env map[string]string) runtime.Spec {
	t.Helper()
	s := runtime.Spec{
		InstanceID: uuid.NewString(), AppID: "app", AppName: "shop", ReleaseID: "rel", Release: 3, Slot: 1,
		Image: image, Env: env, Port: 8080, MemoryMiB: 64, Hash: "abc",
	}
	t.Cleanup(func() {
		if err := rt.Remove(context.WithoutCancel(t.Context()), s.InstanceID); err != nil && !errors.Is(err, runtime.ErrForeign) {
			t.Errorf("clean up: %v", err)
		}
	})
	return s
}

func created(t *testing.T, f Fixture, env map[string]string, command ...string) runtime.Spec {
	t.Helper()
	ensure(t, f)
	s := NewSpec(t, f.Runtime, f.Image, env)
	s.Command = command
	if _, err := f.Runtime.Create(t.Context(), s); err != nil {
		t.Fatalf("create: %v", err)
	}
	return s
}

func started(t *testing.T, f Fixture, env map[string]string) runtime.Spec {
	t.Helper()
	s := created(t, f, env)
	if err := f.Runtime.Start(t.Context(), s.InstanceID); err != nil {
		t.Fatalf("start: %v", err)
	}
	return s
}

func ensure(t *testing.T, f Fixture) {
	t.Helper()
	if err := f.Runtime.EnsureImage(t.Context(), f.Image); err != nil {
		t.Fatalf("ensure image: %v", err)
	}
}

func inspect(t *testing.T, f Fixture, id string) runtime.Container {
	t.Helper()
	c, err := f.Runtime.Inspect(t.Context(), id)
	if err != nil {
		t.Fatalf("inspect: %v", err)
	}
	return c
}

// exited waits for the container's end.
func exited(t *testing.T, f Fixture, id string) runtime.Container {
	t.Helper()
	var c runtime.Container
	testenv.Eventually(t, patience, func() error {
		if c = inspect(t, f, id); c.State != runtime.Exited {
			return fmt.Errorf("state %v", c.State)
		}
		return nil
	})
	return c
}

func listed(t *testing.T, rt runtime.Runtime, id string) (runtime.Container, bool) {
	t.Helper()
	all, err := rt.List(t.Context())
	if err != nil {
		t.Fatalf("list: %v", err)
	}
	i := slices.IndexFunc(all, func(c runtime.Container) bool { return c.InstanceID == id })
	if i < 0 {
		return runtime.Container{}, false
	}
	return all[i], true
}

func env(pairs ...string) map[string]string {
	m := map[string]string{}
	for _, p := range pairs {
		k, v, _ := strings.Cut(p, "=")
		m[k] = v
	}
	return m
}
