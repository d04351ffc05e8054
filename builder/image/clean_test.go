package image

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// The engine hears of a cancel at its next step: the image of the step under way appears behind a sweep that found nothing.
func TestClean_WaitsForWhatACutBuildStillLeaves(t *testing.T) {
	t.Parallel()
	var asked, removed atomic.Int32
	engine := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", "1.41")
		w.Header().Set("Content-Type", "application/json")
		switch late := asked.Load() > 3 && removed.Load() == 0; {
		case r.Method == http.MethodDelete:
			removed.Add(1)
			fmt.Fprint(w, "[]")
		case strings.HasSuffix(r.URL.Path, "/images/json"):
			asked.Add(1)
			if late {
				fmt.Fprint(w, `[{"Id": "sha256:late"}]`)
				return
			}
			fmt.Fprint(w, "[]")
		default:
			fmt.Fprint(w, "[]")
		}
	}))
	defer engine.Close()
	r, err := NewRegistry("127.0.0.1:1", false, "")
	must(t, err)
	e, err := NewEngine("tcp://"+strings.TrimPrefix(engine.URL, "http://"), "127.0.0.1:1", r, DefaultLimits(), "test")
	must(t, err)
	defer e.Close()

	must(t, e.Clean(t.Context(), "ended"))
	if asked.Load() != 1 {
		t.Errorf("a build that has ended was looked for %d times", asked.Load())
	}
	cut, cancel := context.WithCancel(t.Context())
	cancel()
	must(t, e.Clean(cut, "cut"))
	if removed.Load() != 1 {
		t.Errorf("%d images were removed after %d looks, want the late one", removed.Load(), asked.Load())
	}
}
