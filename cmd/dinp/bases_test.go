package main

import (
	"io"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/dinp/dinp/images/base"
	"github.com/dinp/dinp/test/testenv"
)

func TestBaseSupply_BringsWhatIsAskedForAndNothingElse(t *testing.T) {
	t.Parallel()
	dir, registry := t.TempDir(), testenv.Registry(t)
	recipe := &fstest.MapFile{Data: []byte("from: scratch\nuser: {name: app, uid: 1000, home: /app}\nworkdir: /app\ncmd: [/x]\n")}
	recipes := fstest.MapFS{"one/base.yaml": recipe, "two/base.yaml": recipe}
	if err := base.BuildAll(t.Context(), recipes, dir, io.Discard); err != nil {
		t.Fatal(err)
	}
	s := newBaseSupply(dir, registry, slog.New(slog.DiscardHandler))
	var builds sync.WaitGroup
	for range 3 { // at the same time
		builds.Go(func() {
			if err := s.bring(t.Context(), "dinp/base/one"); err != nil {
				t.Error(err)
			}
		})
	}
	builds.Wait()
	for name, want := range map[string]int{"one": http.StatusOK, "two": http.StatusNotFound} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodHead, "http://"+registry+"/v2/dinp/base/"+name+"/manifests/latest", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", "application/vnd.oci.image.manifest.v1+json")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("base image %s: %s, want %d", name, res.Status, want)
		}
	}
	for _, name := range []string{"dinp/base/absent", "docker.io/library/debian:12", "dinp/base/../one"} {
		if err := s.bring(t.Context(), name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
