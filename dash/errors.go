package dash

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
)

// statuses is the one table from an error's kind to its HTTP status.
var statuses = map[model.Kind]int{
	model.Invalid:     http.StatusBadRequest,
	model.NotFound:    http.StatusNotFound,
	model.Conflict:    http.StatusConflict,
	model.Stale:       http.StatusPreconditionFailed,
	model.Denied:      http.StatusForbidden,
	model.Unauthentic: http.StatusUnauthorized,
	model.TooLarge:    http.StatusRequestEntityTooLarge,
	model.Unavailable: http.StatusServiceUnavailable,
	model.Failed:      http.StatusUnprocessableEntity,
	model.Internal:    http.StatusInternalServerError,
}

// statusOf is the HTTP status of an error: that of its kind, but 429 for too
// many attempts.
func statusOf(e *model.Error) int {
	if e.Code == model.CodeTooMany || e.Code == model.CodeSourceLimit {
		return http.StatusTooManyRequests
	}
	if s, ok := statuses[e.Kind]; ok {
		return s
	}
	return http.StatusInternalServerError
}

// fail ends a request with an error, as JSON for the API and as a page for
// people. What is our own fault is logged here, once, and told in general words.
func (d *Dash) fail(c *gin.Context, err error) {
	c.Abort()
	if c.Writer.Written() {
		d.log.Warn("request failed after its answer began", "path", c.Request.URL.Path, "err", err)
		return
	}
	if errors.Is(err, context.Canceled) && c.Request.Context().Err() != nil {
		c.Status(499) // the client went away; nobody reads this but the request log
		return
	}
	e := d.userError(c, err)
	switch e.Kind {
	case model.Unauthentic:
		c.Header("WWW-Authenticate", `Bearer realm="dinp"`)
	case model.Unavailable:
		c.Header("Retry-After", "5")
	}
	d.failWith(c, statusOf(e), e)
}

// failWith ends a request with an error under a status of its own. The answer says
// how long it is: whoever is still sending a body has all of it at once, and not
// only when we stop listening, which may break the connection.
func (d *Dash) failWith(c *gin.Context, status int, e *model.Error) {
	c.Abort()
	if wantsPage(c) {
		d.renderError(c, status, e)
		return
	}
	body, err := json.Marshal(api.ErrorBody{Error: e})
	if err != nil {
		panic(err) // there is nothing in it that cannot be written
	}
	c.Header("Content-Length", strconv.Itoa(len(body)))
	c.Data(status, gin.MIMEJSON+"; charset=utf-8", body)
}

// userError is err in the form a caller may read.
func (d *Dash) userError(c *gin.Context, err error) *model.Error {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return model.E(model.CodeTooLarge, "the body is larger than %d bytes", tooLarge.Limit)
	}
	e := model.AsError(err)
	if e.Kind == model.Internal {
		d.log.Error("request failed", "method", c.Request.Method, "path", c.Request.URL.Path, "request", requestID(c), "err", err)
		return model.E(model.CodeInternal, "internal error; the log of dash has it under request %s", requestID(c)).
			WithNext("try again; if it stays, look at dash's log")
	}
	return e
}

// wantsPage tells people's requests from scripts': the API always speaks JSON.
func wantsPage(c *gin.Context) bool { return !strings.HasPrefix(c.Request.URL.Path, "/api/") }
