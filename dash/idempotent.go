package dash

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/sql/store"
)

const (
	idempotencyHeader = "Idempotency-Key"
	maxKeptAnswer     = 1 << 20
)

// idempotent carries a write with an Idempotency-Key out once: the same request
// again gets the first answer. With keep false the answer holds a secret, which
// must not lie in the database: then a second request is refused, not answered.
func (d *Dash) idempotent(keep bool) gin.HandlerFunc {
	return func(c *gin.Context) {
		key := c.GetHeader(idempotencyHeader)
		if key == "" {
			return
		}
		hash, err := requestHash(c)
		if err != nil {
			d.fail(c, err)
			return
		}
		user := actorOf(c).UserID
		earlier, err := d.store.BeginIdempotent(c.Request.Context(), user, key, hash, time.Now())
		if err != nil {
			d.fail(c, err)
			return
		}
		if earlier != nil {
			d.replay(c, *earlier, keep)
			return
		}
		w := &recorder{ResponseWriter: c.Writer}
		c.Writer = w
		ended := false
		defer func() { d.keepAnswer(c, user, key, w, keep, ended) }()
		c.Next()
		ended = true
	}
}

// keepAnswer stores what the client was told. What failed by our fault, or for
// a while, or panicked, is forgotten, so that the request can be tried again.
func (d *Dash) keepAnswer(c *gin.Context, user, key string, w *recorder, keep, ended bool) {
	a := store.Answer{Status: w.Status(), Body: w.body.String()}
	if !keep {
		a.Body = ""
	}
	if !ended || a.Status >= http.StatusInternalServerError || a.Status == http.StatusTooManyRequests || a.Status == http.StatusUnauthorized || w.overflow {
		a = store.Answer{}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Request.Context()), 5*time.Second) // the client may be gone; its retry is not
	defer cancel()
	if err := d.store.EndIdempotent(ctx, user, key, a); err != nil {
		d.log.Error("answer of an idempotent request not kept", "err", err)
	}
}

func (d *Dash) replay(c *gin.Context, a store.Answer, kept bool) {
	if !kept && a.Status < 300 {
		d.fail(c, model.E(model.CodeConflict, "this request was carried out already; its answer held a secret, which is told once").WithNext("use a new Idempotency-Key to make another"))
		return
	}
	c.Abort()
	c.Header("Idempotent-Replayed", "true")
	if a.Body == "" {
		c.Status(a.Status)
		return
	}
	c.Data(a.Status, "application/json; charset=utf-8", []byte(a.Body))
}

// requestHash tells whether two requests with one key are the same. It reads the
// body, which limitBody has bounded, and puts it back.
func requestHash(c *gin.Context) (string, error) {
	if k := c.GetHeader(idempotencyHeader); len(k) > 128 || strings.ContainsFunc(k, func(r rune) bool { return r < 0x21 || r > 0x7e }) {
		return "", model.E(model.CodeBadRequest, "the Idempotency-Key must be 1 to 128 printable ASCII characters")
	}
	body, err := io.ReadAll(c.Request.Body)
	if err != nil {
		return "", err
	}
	c.Request.Body = io.NopCloser(bytes.NewReader(body))
	h := sha256.New()
	fmt.Fprintf(h, "%s %s\n%s\n", c.Request.Method, c.Request.URL.RequestURI(), c.GetHeader("If-Match"))
	h.Write(body)
	return hex.EncodeToString(h.Sum(nil)), nil
}

// recorder keeps a copy of a short answer.
type recorder struct {
	gin.ResponseWriter
	body     bytes.Buffer
	overflow bool // longer than what is kept
}

// Write implements http.ResponseWriter.
func (r *recorder) Write(p []byte) (int, error) {
	if r.body.Len()+len(p) > maxKeptAnswer {
		r.overflow = true
	} else {
		r.body.Write(p)
	}
	return r.ResponseWriter.Write(p)
}

// WriteString implements io.StringWriter.
func (r *recorder) WriteString(s string) (int, error) { return r.Write([]byte(s)) }

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
