package dash

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
)

// A request that was answered later than its body's deadline was taken for one
// whose client had gone.
func TestHurry_BoundsTheBodyAndNotTheAnswer(t *testing.T) {
	t.Parallel()
	const limit = 50 * time.Millisecond
	g := gin.New()
	g.Any("/", func(c *gin.Context) { hurry(c, limit) }, func(c *gin.Context) {
		if _, err := io.ReadAll(c.Request.Body); err != nil {
			c.String(http.StatusRequestTimeout, "body: %v", err)
			return
		}
		select {
		case <-c.Request.Context().Done():
			c.String(http.StatusGone, "%v", c.Request.Context().Err())
		case <-time.After(4 * limit):
			c.String(http.StatusOK, "late")
		}
	})
	srv := httptest.NewServer(g)
	defer srv.Close()
	never, end := io.Pipe()
	defer end.Close()
	for name, c := range map[string]struct {
		body io.Reader
		want int
	}{
		"no body": {nil, http.StatusOK}, "a body": {strings.NewReader("{}"), http.StatusOK}, "a body that does not end": {never, http.StatusRequestTimeout},
	} {
		resp, err := http.Post(srv.URL, "application/json", c.body)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != c.want {
			t.Errorf("%s: %d %s", name, resp.StatusCode, text)
		}
	}
}
