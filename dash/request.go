package dash

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/dinp/dinp/common/model"
)

// decode reads a JSON body. A field that is not known is refused: a typing error
// must not be taken for "keep what it is". An empty body is one without fields.
func decode[T any](c *gin.Context) (T, error) {
	var v T
	dec := json.NewDecoder(c.Request.Body)
	dec.DisallowUnknownFields()
	err := dec.Decode(&v)
	if errors.Is(err, io.EOF) {
		return v, nil
	}
	if err == nil && dec.More() {
		err = errors.New("more than one value")
	}
	var tooLarge *http.MaxBytesError
	if err == nil || errors.As(err, &tooLarge) {
		return v, err
	}
	return v, model.E(model.CodeBadRequest, "the body cannot be read: %s", strings.TrimPrefix(err.Error(), "json: ")).
		WithNext("GET %s/openapi.json describes it", apiBase)
}

// reply ends a request with a value in JSON, or with the error.
func (d *Dash) reply(c *gin.Context, status int, v any, err error) {
	if err != nil {
		d.fail(c, err)
		return
	}
	c.JSON(status, v)
}

// replyDone ends a request without a body, or with the error.
func (d *Dash) replyDone(c *gin.Context, err error) {
	if err != nil {
		d.fail(c, err)
		return
	}
	c.Status(http.StatusNoContent)
}

// handleBody is a handler that decodes, calls a use case and replies.
func handleBody[In, Out any](d *Dash, c *gin.Context, status int, f func(In) (Out, error)) {
	in, err := decode[In](c)
	if err != nil {
		d.fail(c, err)
		return
	}
	out, err := f(in)
	d.reply(c, status, out, err)
}

// queryInt reads a number; 0 when it is not given.
func queryInt(c *gin.Context, name string) (int, error) {
	s := c.Query(name)
	if s == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return 0, model.E(model.CodeBadRequest, "%s=%s is not a number", name, clip(s, 40))
	}
	return n, nil
}

// queryBool reads a switch: true, 1 or nothing after its name turn it on.
func queryBool(c *gin.Context, name string) (bool, error) {
	s, given := c.GetQuery(name)
	if !given {
		return false, nil
	}
	switch strings.ToLower(s) {
	case "", "1", "true", "yes":
		return true, nil
	case "0", "false", "no":
		return false, nil
	}
	return false, model.E(model.CodeBadRequest, "%s=%s is neither true nor false", name, clip(s, 40))
}

// queryDuration reads a time span such as 10m; 0 when it is not given.
func queryDuration(c *gin.Context, name string) (time.Duration, error) {
	s := c.Query(name)
	if s == "" {
		return 0, nil
	}
	v, err := time.ParseDuration(s)
	if err != nil || v < 0 {
		return 0, model.E(model.CodeBadRequest, "%s=%s is not a time span", name, clip(s, 40)).WithNext("write it as 90s or 10m")
	}
	return v, nil
}

// knownQuery refuses parameters that mean nothing here: a typing error must not
// deploy with other settings than were meant.
func knownQuery(c *gin.Context, known []param) error {
	var names []string
	for _, p := range known {
		names = append(names, p.name)
	}
	for name := range c.Request.URL.Query() {
		if !slices.Contains(names, name) {
			return model.E(model.CodeBadRequest, "the parameter %q is not known", clip(name, 40)).WithNext("use some of %s", strings.Join(names, ", "))
		}
	}
	return nil
}

// seen is the generation of the app that the caller saw, from the body or from
// If-Match; 0 takes any.
func seen(c *gin.Context, body int64) (int64, error) {
	h := strings.Trim(strings.TrimPrefix(strings.TrimSpace(c.GetHeader("If-Match")), "W/"), `"`)
	if h == "" || h == "*" {
		return body, nil
	}
	n, err := strconv.ParseInt(h, 10, 64)
	switch {
	case err != nil || n < 1:
		return 0, model.E(model.CodeBadRequest, "If-Match is %q; it must be an app's generation, as in its ETag", clip(h, 40))
	case body != 0 && body != n:
		return 0, model.E(model.CodeBadRequest, "If-Match says generation %d, the body %d", n, body)
	}
	return n, nil
}

// bodyIdle is how long a large body may stand still.
const bodyIdle = time.Minute

// patientBody reads a large body for as long as something comes. At its end the
// deadline is lifted, as in hurriedBody: what follows may take longer.
type patientBody struct {
	io.Reader
	rc *http.ResponseController
}

func newPatientBody(c *gin.Context) *patientBody {
	return &patientBody{Reader: c.Request.Body, rc: http.NewResponseController(c.Writer)}
}

// Read implements io.Reader.
func (b *patientBody) Read(p []byte) (int, error) {
	_ = b.rc.SetReadDeadline(time.Now().Add(bodyIdle)) // not supported only by recorders of tests
	n, err := b.Reader.Read(p)
	if err != nil {
		_ = b.rc.SetReadDeadline(time.Time{})
	}
	return n, err
}

// How much of a refused body is still taken, so that its sender, who may look for
// an answer only between two writes, finds one rather than a broken connection.
const (
	drainBytes = 64 << 20
	drainTime  = 5 * time.Second
)

// failUpload ends a request with an error while its body may still be coming.
func (d *Dash) failUpload(c *gin.Context, err error) {
	rc := http.NewResponseController(c.Writer)
	duplex := rc.EnableFullDuplex() // else the server reads on before it answers
	c.Header("Connection", "close")
	d.fail(c, err)
	c.Writer.Flush()
	if duplex == nil && rc.SetReadDeadline(time.Now().Add(drainTime)) == nil {
		_, _ = io.CopyN(io.Discard, c.Request.Body, drainBytes) // whatever comes of it, the answer is out
	}
}
