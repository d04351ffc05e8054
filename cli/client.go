package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
)

const (
	apiPath      = "/api/v1"
	callTimeout  = 60 * time.Second // of one call that is answered at once
	callTries    = 4
	maxBody      = 64 << 20
	maxErrorBody = 64 << 10
)

// client speaks to one server.
type client struct {
	base  string // scheme and host
	token string
	key   func() string
	pause time.Duration
	http  *http.Client
}

// open makes the client of the server this invocation talks to.
func (c *console) open() (*client, error) {
	v, err := c.server()
	if err != nil {
		return nil, err
	}
	return c.clientOf(v.URL, v.Token), nil
}

func (c *console) clientOf(base, token string) *client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DialContext = dial
	return &client{base: base, token: token, key: c.key, pause: c.pause, http: &http.Client{
		Transport: t,
		// A redirected write would become a GET, and a token would follow to
		// wherever the answer points: say so instead.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// dial connects to loopback for *.localhost, which browsers and curl resolve
// and Go's resolver does not.
func dial(ctx context.Context, network, addr string) (net.Conn, error) {
	d := net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}
	host, port, err := net.SplitHostPort(addr)
	if err != nil || !isLoopback(host) || net.ParseIP(host) != nil {
		return d.DialContext(ctx, network, addr)
	}
	conn, err := d.DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		if six, err6 := d.DialContext(ctx, network, net.JoinHostPort("::1", port)); err6 == nil {
			return six, nil
		}
	}
	return conn, err
}

// isLoopback reports whether a host name means this machine.
func isLoopback(host string) bool {
	h := strings.TrimSuffix(strings.ToLower(host), ".")
	ip := net.ParseIP(h)
	return h == "localhost" || strings.HasSuffix(h, ".localhost") || ip != nil && ip.IsLoopback()
}

// transient is a failure that another try may not meet.
type transient struct{ error }

// Unwrap returns the failure.
func (t transient) Unwrap() error { return t.error }

// get reads one thing.
func get[T any](ctx context.Context, c *client, path string) (T, error) {
	var out T
	return out, c.call(ctx, http.MethodGet, path, nil, &out)
}

// send writes, and reads the answer. A nil body sends {}.
func send[T any](ctx context.Context, c *client, method, path string, body any) (T, error) {
	var out T
	if body == nil {
		body = struct{}{}
	}
	return out, c.call(ctx, method, path, body, &out)
}

// call makes one request, again when the network or the server was in the way.
// A write keeps its Idempotency-Key over all tries: the server does it once.
func (c *client) call(ctx context.Context, method, path string, in, out any) error {
	var body []byte
	key := ""
	if method != http.MethodGet && method != http.MethodHead {
		key = c.key()
	}
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	var err error
	for try := range callTries {
		if try > 0 {
			if stop := sleep(ctx, c.pause<<(try-1)); stop != nil {
				return stop
			}
		}
		err = c.once(ctx, method, path, key, body, out)
		if !again(err, key != "" && try > 0) {
			break
		}
	}
	return plain(err)
}

// again reports whether a failed call is worth another try. A repeated write
// may find its own first try still at work, which the server calls a conflict.
func again(err error, repeated bool) bool {
	var t transient
	return errors.As(err, &t) || repeated && model.IsCode(err, model.CodeConflict)
}

// plain takes the mark of a transient error off.
func plain(err error) error {
	if t, ok := err.(transient); ok {
		return t.error
	}
	return err
}

func (c *client) once(ctx context.Context, method, path, key string, body []byte, out any) error {
	limited, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	req, err := c.request(limited, method, path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	resp, err := c.do(ctx, req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil || resp.StatusCode == http.StatusNoContent {
		return nil
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxBody)).Decode(out); err != nil && !errors.Is(err, io.EOF) {
		return c.broken(ctx, fmt.Errorf("read the answer of %s %s: %w", method, path, err))
	}
	return nil
}

// request makes a request for a path of the API, or for one of the server's
// that an earlier answer named.
func (c *client) request(ctx context.Context, method, path string, body io.Reader) (*http.Request, error) {
	if !strings.HasPrefix(path, apiPath+"/") {
		path = apiPath + path
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "dinp")
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	return req, nil
}

// do sends a request; an answer that is not a success becomes an error. ctx is
// the caller's, to tell a person's Ctrl-C from a timeout of ours.
func (c *client) do(ctx context.Context, req *http.Request) (*http.Response, error) {
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.broken(ctx, err)
	}
	if resp.StatusCode < 300 {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, c.refusal(resp)
}

// broken says that the server could not be talked to.
func (c *client) broken(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err // the rest of its text repeats the address
	}
	return transient{model.E(model.CodeUnavailable, "cannot reach %s: %v", c.base, err).
		WithStill("apps keep running and serving without it").
		WithNext("check the address (dinp contexts), and that the server runs there")}
}

// refusal reads the error of an answer.
func (c *client) refusal(resp *http.Response) error {
	b, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody)) // what came of it is enough
	var body api.ErrorBody
	if json.Unmarshal(b, &body) != nil || body.Error == nil || body.Error.Code == "" {
		body.Error = foreign(resp, b)
	}
	e := body.Error
	if resp.StatusCode == http.StatusUnauthorized {
		e = e.WithNext("dinp login %s", c.base)
	}
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return transient{e}
	}
	return e
}

// foreign describes an answer that is not from a dinp API: a proxy's page, or
// another program on that port.
func foreign(resp *http.Response, body []byte) *model.Error {
	code := map[int]model.Code{401: model.CodeUnauthentic, 403: model.CodeDenied, 404: model.CodeNotFound, 409: model.CodeConflict, 410: model.CodeNotFound, 412: model.CodeStale, 413: model.CodeTooLarge}[resp.StatusCode]
	switch {
	case code != "":
	case resp.StatusCode >= 500:
		code = model.CodeUnavailable
	default:
		code = model.CodeBadRequest
	}
	e := model.E(code, "%s %s answered %s", resp.Request.Method, resp.Request.URL.Redacted(), resp.Status)
	if to := resp.Header.Get("Location"); to != "" {
		return e.WithNext("the server has moved: dinp login %s", to)
	}
	if line := strings.TrimSpace(firstLine(string(body))); line != "" && len(line) < 200 && !strings.HasPrefix(line, "<") {
		e = e.WithEvidence(line)
	}
	return e
}

// pages reads a whole list, page by page.
func pages[T any](ctx context.Context, c *client, path string) ([]T, error) {
	var all []T
	for after := ""; ; {
		p, err := get[api.Page[T]](ctx, c, path+"?"+url.Values{"after": {after}, "limit": {"500"}}.Encode())
		if err != nil {
			return nil, err
		}
		all = append(all, p.Items...)
		if p.Next == "" || p.Next == after {
			return all, nil
		}
		after = p.Next
	}
}

// at builds a path of the API from words that may hold any character.
func at(words ...string) string {
	var b strings.Builder
	for _, w := range words {
		b.WriteString("/" + url.PathEscape(w))
	}
	return b.String()
}
