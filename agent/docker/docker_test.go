package docker_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/dinp/dinp/agent/docker"
	"github.com/dinp/dinp/agent/docker/dockertest"
	"github.com/dinp/dinp/agent/runtime"
	"github.com/dinp/dinp/agent/runtime/runtimetest"
	"github.com/dinp/dinp/test/testenv"
)

func open(t *testing.T, registry string) *docker.Docker {
	t.Helper()
	d, err := docker.New(docker.Options{
		Host: testenv.Docker(t), NodeID: uuid.NewString(), Address: "127.0.0.1", PublishIP: "127.0.0.1", Registry: registry,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

// pushed returns an image the engine does not have, which is removed with the test.
func pushed(t *testing.T, registry string) string {
	t.Helper()
	image := dockertest.Push(t, registry, uuid.NewString())
	t.Cleanup(func() {
		_ = exec.Command("docker", "rmi", "-f", registry+"/"+image).Run() // not every test pulls it
	})
	return image
}

func cli(args ...string) *exec.Cmd {
	cmd := exec.Command("docker", args...)
	cmd.Stderr = os.Stderr
	return cmd
}

func TestDocker_Conformance(t *testing.T) {
	registry := testenv.Registry(t)
	runtimetest.Run(t, func(t *testing.T) runtimetest.Fixture {
		image := pushed(t, registry)
		return runtimetest.Fixture{
			Runtime: open(t, registry), Other: open(t, registry), Image: image,
			NoImage: "dinp/apps/none@sha256:" + strings.Repeat("0", 64),
			Foreign: func(t *testing.T, id string) func() bool { return foreign(t, registry+"/"+image, id) },
		}
	})
}

// foreign runs a person's container under an instance's name, with APP_NAME
// set, which the original DINP took for its own mark.
func foreign(t *testing.T, image, id string) func() bool {
	name := "dinp-" + id
	if err := cli("run", "-d", "--name", name, "-e", "PORT=8080", "-e", "APP_NAME=shop", image).Run(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cli("rm", "-f", name).Run() })
	return func() bool {
		out, err := cli("inspect", "-f", "{{.State.Running}}", name).Output()
		return err == nil && strings.TrimSpace(string(out)) == "true"
	}
}

func running(t *testing.T, env map[string]string) (*docker.Docker, runtime.Container) {
	t.Helper()
	registry := testenv.Registry(t)
	d := open(t, registry)
	s := runtimetest.NewSpec(t, d, pushed(t, registry), env)
	if err := d.EnsureImage(t.Context(), s.Image); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Create(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if err := d.Start(t.Context(), s.InstanceID); err != nil {
		t.Fatal(err)
	}
	c, err := d.Inspect(t.Context(), s.InstanceID)
	if err != nil {
		t.Fatal(err)
	}
	return d, c
}

func TestDocker_InstanceAnswersAtItsAddressWithItsEnvironment(t *testing.T) {
	_, c := running(t, nil)
	want := "APP_NAME=shop\nDINP_RELEASE=v3\nDINP_INSTANCE=" + c.InstanceID + "\nDINP_SLOT=1\nHOST_IP=127.0.0.1\n"
	testenv.Eventually(t, 20*time.Second, func() error {
		resp, err := http.Get("http://" + c.Addr)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		got, err := io.ReadAll(resp.Body)
		if err == nil && string(got) != want {
			err = errors.New(string(got))
		}
		return err
	})
}

func TestDocker_MemoryLimitEndsInOOM(t *testing.T) {
	d, c := running(t, map[string]string{"TEST_EAT": "1"})
	testenv.Eventually(t, 60*time.Second, func() error {
		got, err := d.Inspect(t.Context(), c.InstanceID)
		if err == nil && !got.OOM {
			err = errors.New("not killed for its memory")
		}
		return err
	})
}

// locked is a registry that asks for a login.
func locked(t *testing.T, registry, user, password string) string {
	t.Helper()
	to := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: registry})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u, p, ok := r.BasicAuth(); !ok || u != user || p != password {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		to.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	return strings.TrimPrefix(srv.URL, "http://")
}

func TestDocker_PullsWithTheLoginOfAFile_WhichMayChange(t *testing.T) {
	registry := testenv.Registry(t)
	front := locked(t, registry, "node", "s3cret")
	image := dockertest.Push(t, registry, uuid.NewString())
	t.Cleanup(func() { _ = exec.Command("docker", "rmi", "-f", front+"/"+image).Run() })
	file := filepath.Join(t.TempDir(), "config.json")
	login := func(password string) {
		t.Helper()
		auth := base64.StdEncoding.EncodeToString([]byte("node:" + password))
		if err := os.WriteFile(file, fmt.Appendf(nil, `{"auths":{%q:{"auth":%q}}}`, front, auth), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	login("an0ther")
	d, err := docker.New(docker.Options{Host: testenv.Docker(t), NodeID: uuid.NewString(), Registry: front, AuthFile: file})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	if err := d.EnsureImage(t.Context(), image); err == nil || errors.Is(err, runtime.ErrAway) || strings.Contains(err.Error(), "an0ther") {
		t.Errorf("with a wrong password: %v", err)
	}
	login("s3cret")
	if err := d.EnsureImage(t.Context(), image); err != nil {
		t.Errorf("with the right one: %v", err)
	}
}

func TestDocker_EngineAway_IsErrAway(t *testing.T) {
	d, err := docker.New(docker.Options{Host: "unix:///nowhere/docker.sock", NodeID: "n"})
	if err != nil {
		t.Fatal(err)
	}
	_, infoErr := d.Info(t.Context())
	_, listErr := d.List(t.Context())
	_, createErr := d.Create(t.Context(), runtime.Spec{InstanceID: "i1", Port: 80})
	for call, err := range map[string]error{
		"info": infoErr, "list": listErr, "create": createErr,
		"pull": d.EnsureImage(t.Context(), "a@sha256:"+strings.Repeat("0", 64)), "events": d.Events(t.Context(), func(runtime.Event) {}),
		"remove": d.Remove(context.Background(), "i1"),
	} {
		if !errors.Is(err, runtime.ErrAway) {
			t.Errorf("%s: %v, want ErrAway", call, err)
		}
	}
}
