package dash

import (
	"bytes"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/sql/store/storetest"
	"github.com/dinp/dinp/test/testenv"
)

func eventually(t *testing.T, f func() error) {
	t.Helper()
	testenv.Eventually(t, 20*time.Second, f)
}

func TestIdempotency_CarriesAWriteOutOnce(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, url string) {
		r := newRig(t, url)
		key := []string{"Idempotency-Key", "k1"}
		first := do[api.App](r, 201, "POST", "/apps", r.admin, api.CreateApp{Name: "shop"}, key...)
		status, _, h := r.call("POST", "/apps", r.admin, api.CreateApp{Name: "shop"}, key...)
		again := do[api.App](r, 201, "POST", "/apps", r.admin, api.CreateApp{Name: "shop"}, key...)
		if status != 201 || h.Get("Idempotent-Replayed") != "true" || again.CreatedAt != first.CreatedAt {
			t.Errorf("again: %d %v %+v", status, h, again)
		}
		r.refused(model.CodeConflict, "POST", "/apps", r.admin, api.CreateApp{Name: "other"}, key...)
		r.refused(model.CodeConflict, "POST", "/apps/shop/scale", r.admin, `{"instances":2}`, key...)
		r.refused(model.CodeBadRequest, "POST", "/apps", r.admin, api.CreateApp{Name: "x"}, "Idempotency-Key", "a b")
		r.refused(model.CodeBadAppName, "POST", "/apps", r.admin, api.CreateApp{Name: "X"}, "Idempotency-Key", "k2")
		r.refused(model.CodeBadAppName, "POST", "/apps", r.admin, api.CreateApp{Name: "X"}, "Idempotency-Key", "k2")
		do[any](r, 204, "DELETE", "/apps/shop", r.admin, nil, "Idempotency-Key", "k3")
		do[any](r, 204, "DELETE", "/apps/shop", r.admin, nil, "Idempotency-Key", "k3")
		do[api.App](r, 201, "POST", "/apps", r.user("dan", model.Deployer), api.CreateApp{Name: "shop"}, key...) // keys are a user's own
	})
}

func TestIdempotency_ManyAtOnceMakeOne(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, url string) {
		r := newRig(t, url)
		var wg sync.WaitGroup
		for range 6 {
			wg.Go(func() {
				status, text, _ := r.call("POST", "/apps/shop/releases", r.admin, `{"image":"nginx:1"}`, "Idempotency-Key", "k")
				if status != 202 && status != 409 {
					t.Errorf("got %d %s", status, text)
				}
			})
		}
		wg.Wait()
		if p := do[api.Page[api.Build]](r, 200, "GET", "/apps/shop/builds", r.admin, nil); len(p.Items) != 1 {
			t.Errorf("%d builds were queued", len(p.Items))
		}
	})
}

func TestIdempotency_KeepsNoSecret(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t))
	key := []string{"Idempotency-Key", "k"}
	do[api.Token](r, 201, "POST", "/tokens", r.admin, api.NewToken{Name: "ci"}, key...)
	r.refused(model.CodeConflict, "POST", "/tokens", r.admin, api.NewToken{Name: "ci"}, key...)
	if p := do[api.Page[api.Token]](r, 200, "GET", "/tokens", r.admin, nil); len(p.Items) != 2 {
		t.Errorf("%d tokens, want the test's and one", len(p.Items))
	}
}

// TestIdempotency_ForgetsOurOwnFaults drives the middleware with handlers that
// fail in ways the API's do not on demand.
func TestIdempotency_ForgetsOurOwnFaults(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t))
	tries := map[string]int{}
	g := gin.New()
	g.Use(r.observe, r.recoverPanic, func(c *gin.Context) { c.Set(actorKey, model.Actor{UserID: "u"}) }, limitBody, r.idempotent(true))
	g.POST("/api/panic", func(*gin.Context) { tries["panic"]++; panic("boom") })
	g.POST("/api/away", func(c *gin.Context) { tries["away"]++; r.fail(c, model.E(model.CodeUnavailable, "away")) })
	g.POST("/api/large", func(c *gin.Context) {
		tries["large"]++
		c.Data(200, "text/plain", bytes.Repeat([]byte("x"), maxKeptAnswer+1))
	})
	for _, c := range []struct {
		path   string
		status int
	}{{"panic", 500}, {"away", 503}, {"large", 200}} {
		for range 2 {
			req := httptest.NewRequest("POST", "/api/"+c.path, nil)
			req.Header.Set(idempotencyHeader, c.path)
			w := httptest.NewRecorder()
			g.ServeHTTP(w, req)
			if w.Code != c.status {
				t.Errorf("%s: got %d", c.path, w.Code)
			}
		}
		if tries[c.path] != 2 {
			t.Errorf("%s was tried %d times", c.path, tries[c.path])
		}
	}
}
