package dash

import (
	"crypto/rand"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/dinp/dinp/common/model"
)

const requestKey = "dinp.request"

// requestID names a request in the log and in the answer.
func requestID(c *gin.Context) string { return c.GetString(requestKey) }

// observe gives each request a name, logs it when it has ended, and counts it.
func (d *Dash) observe(c *gin.Context) {
	start := time.Now()
	c.Set(requestKey, rand.Text()[:12])
	c.Header("X-Request-Id", requestID(c))
	c.Next()
	took, route := time.Since(start), c.FullPath()
	d.metrics.request(c.Request.Method, route, c.Writer.Status(), took)
	level := slog.LevelInfo
	if c.Request.Method == http.MethodGet || c.Request.Method == http.MethodHead {
		level = slog.LevelDebug // reads change nothing, and pages poll
	}
	if c.Writer.Status() >= http.StatusInternalServerError {
		level = slog.LevelWarn
	}
	d.log.Log(c.Request.Context(), level, "request served", "method", c.Request.Method, "path", c.Request.URL.Path, "status", c.Writer.Status(),
		"bytes", c.Writer.Size(), "took", took, "user", actorOf(c).Name, "from", c.ClientIP(), "request", requestID(c))
}

// recoverPanic turns a panic into an internal error; the connection goes on.
func (d *Dash) recoverPanic(c *gin.Context) {
	defer func() {
		switch v := recover(); v {
		case nil:
		case http.ErrAbortHandler:
			panic(v) // net/http's own way to cut a connection
		default:
			d.log.Error("handler panicked", "path", c.Request.URL.Path, "panic", v, "request", requestID(c), "stack", stack())
			d.fail(c, model.E(model.CodeInternal, "internal error; the log of dash has it under request %s", requestID(c)))
		}
	}()
	c.Next()
}

// secure sets the headers that keep browsers from helping an attacker. Pages may
// replace the policy by one that fits what they load.
func (d *Dash) secure(c *gin.Context) {
	h := c.Writer.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Content-Security-Policy", "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
	if d.cfg.CookieSecure {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
	if !wantsPage(c) {
		h.Set("Cache-Control", "no-store")
	}
}

// sameOrigin refuses writes that a foreign page makes with a visitor's cookie.
// A request with a token comes from a program: browsers never add one by themselves.
func (d *Dash) sameOrigin(protection *http.CrossOriginProtection) gin.HandlerFunc {
	return func(c *gin.Context) {
		if c.GetHeader("Authorization") != "" {
			return
		}
		if err := protection.Check(c.Request); err != nil {
			d.fail(c, model.E(model.CodeDenied, "the request comes from another site").WithCause(err).WithNext("open dash itself and try again there"))
		}
	}
}

// Limits of a JSON body.
const (
	maxBody  = 1 << 20
	bodyTime = 30 * time.Second
)

// limitBody bounds the size and the time of an ordinary body.
func limitBody(c *gin.Context) {
	c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, maxBody)
	hurry(c, bodyTime)
}

// hurry bounds the time in which the body must be here, and no other: net/http
// goes on reading while the request is served, and takes a deadline that passes
// then for the end of its client.
func hurry(c *gin.Context, d time.Duration) {
	if c.Request.ContentLength == 0 {
		return
	}
	rc := http.NewResponseController(c.Writer)
	if rc.SetReadDeadline(time.Now().Add(d)) == nil { // not supported only by recorders of tests
		c.Request.Body = &hurriedBody{c.Request.Body, rc}
	}
}

// hurriedBody lifts the deadline at its end.
type hurriedBody struct {
	io.ReadCloser
	rc *http.ResponseController
}

// Read implements io.Reader.
func (b *hurriedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		_ = b.rc.SetReadDeadline(time.Time{}) // it was supported before
	}
	return n, err
}
