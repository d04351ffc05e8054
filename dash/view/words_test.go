package view

import (
	"testing"
	"time"

	"github.com/dinp/dinp/common/api"
)

func TestAppBadge(t *testing.T) {
	t.Parallel()
	failed, running := &api.Deployment{Status: "failed"}, &api.Deployment{Status: "running"}
	for _, c := range []struct {
		app         api.App
		class, text string
	}{
		{api.App{Release: "v1", Serving: "v1", Instances: 2, Ready: 2}, "ok", "up"},
		{api.App{Release: "v1", Instances: 2, Ready: 1}, "warn", "partly up"},
		{api.App{Release: "v1", Instances: 2}, "bad", "down"},
		{api.App{Release: "v1", Instances: 0}, "off", "scaled to zero"},
		{api.App{}, "off", "no release"},
		{api.App{Release: "v2", Serving: "v1", Instances: 1, Ready: 1, Deployment: failed}, "warn", "last deploy failed"},
		{api.App{Release: "v1", Instances: 1, Deployment: failed}, "bad", "failed"},
		{api.App{Release: "v1", Instances: 1, Deployment: running}, "busy", "deploying"},
		{api.App{Release: "v1", Instances: 1, Ready: 1, Maintenance: true}, "warn", "maintenance"},
		{api.App{Release: "v1", Instances: 1, Ready: 1, Paused: true}, "warn", "paused"},
	} {
		if got := appBadge("en", c.app); got.Class != c.class || got.Text != c.text {
			t.Errorf("appBadge(%+v) = %+v, want %s %q", c.app, got, c.class, c.text)
		}
	}
}

func TestInstanceBadge(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in          api.Instance
		class, text string
	}{
		{api.Instance{Phase: "running", Ready: true}, "ok", "ready"},
		{api.Instance{Phase: "running"}, "busy", "running, not ready"},
		{api.Instance{Phase: "running", Code: "D142"}, "bad", "not healthy"},
		{api.Instance{Phase: "running", Ready: true, Stopping: true}, "off", "stopping"},
		{api.Instance{Phase: "pulling", Code: "D144"}, "warn", "pulling the image"},
		{api.Instance{Phase: "unknown", Ready: true}, "warn", "unknown"},
		{api.Instance{Phase: "gone"}, "off", "gone"},
		{api.Instance{Phase: "levitating"}, "busy", "levitating"},
	} {
		if got := instanceBadge("en", c.in); got.Class != c.class || got.Text != c.text {
			t.Errorf("instanceBadge(%+v) = %+v, want %s %q", c.in, got, c.class, c.text)
		}
	}
}

func TestReleaseBadge(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   api.Release
		want string
	}{
		{api.Release{Wanted: true, Serving: true}, "serving"},
		{api.Release{Serving: true}, "kept serving"},
		{api.Release{Wanted: true, Deployment: &api.Deployment{Status: "failed"}}, "failed"},
		{api.Release{Wanted: true}, "on its way"},
		{api.Release{Deployment: &api.Deployment{Status: "superseded"}}, "superseded"},
		{api.Release{}, "past"},
	} {
		if got := releaseBadge("en", c.in); got.Text != c.want {
			t.Errorf("releaseBadge(%+v) = %q, want %q", c.in, got.Text, c.want)
		}
	}
}

func TestDeploySteps(t *testing.T) {
	t.Parallel()
	build := func(status string) *api.Build { return &api.Build{Status: status, Filename: "a.zip", Size: 10} }
	for _, c := range []struct {
		name string
		in   api.Deploy
		want [4]string
	}{
		{"building", api.Deploy{Build: build("running")}, [4]string{"done", "busy", "", ""}},
		{"build failed", api.Deploy{Build: build("failed"), Done: true}, [4]string{"done", "bad", "", ""}},
		{"rolling out", api.Deploy{Build: build("succeeded"), Release: "v2"}, [4]string{"done", "done", "busy", ""}},
		{"rollout failed", api.Deploy{Build: build("succeeded"), Release: "v2", Done: true}, [4]string{"done", "done", "bad", ""}},
		{"live", api.Deploy{Build: build("succeeded"), Release: "v2", Done: true, OK: true}, [4]string{"done", "done", "done", "done"}},
		{"unchanged", api.Deploy{Unchanged: true, Done: true, OK: true}, [4]string{"done", "done", "done", "done"}},
	} {
		steps := deploySteps("en", c.in)
		for i, s := range steps {
			if s.Class != c.want[i] {
				t.Errorf("%s: step %d is %q, want %q", c.name, i, s.Class, c.want[i])
			}
		}
	}
}

func TestWords(t *testing.T) {
	t.Parallel()
	from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range [][2]string{
		{ago("en", 5*time.Second), "just now"}, {ago("en", time.Minute), "1 minute ago"}, {ago("en", 3*time.Hour), "3 hours ago"},
		{ago("zh", 50*time.Hour), "2 天前"}, {mib(256), "256 MiB"}, {mib(2048), "2 GiB"}, {mib(0), "–"}, {mib(10300), "10.1 GiB"},
		{byteSize(999), "999 B"}, {byteSize(12_345_678), "12.3 MB"}, {byteSize(3_100_000_000), "3.10 GB"}, {byteSize(1500), "1.5 kB"},
		{subject("node-1"), "node-1"}, {subject("4a1f9f7e-0000-4000-8000-000000000000"), "4a1f9f7e"},
		{coreCount(1500), "1.5"}, {cores("en", 0), "fair share"}, {bareURL("https://a.b/"), "a.b"}, {bareURL("a.b"), "a.b"},
		{took(from, from.Add(1234*time.Millisecond), from), "1.2s"}, {took(from, time.Time{}, from.Add(75*time.Second)), "1m15s"}, {took(time.Time{}, from, from), "–"},
	} {
		if c[0] != c[1] {
			t.Errorf("got %q, want %q", c[0], c[1])
		}
	}
	if share(50, 100) != 50 || share(5, 0) != 0 || share(200, 100) != 99.6 {
		t.Error("share is wrong at its ends")
	}
}
