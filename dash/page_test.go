package dash_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/dinp/dinp/test/stage"
)

// visitor is a browser without scripts: cookies, forms, redirects one by one.
type visitor struct {
	t      *testing.T
	s      *stage.Stage
	client *http.Client
}

func visit(t *testing.T, s *stage.Stage) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &visitor{t: t, s: s, client: &http.Client{
		Jar: jar, Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// answer is what came back.
type answer struct {
	status   int
	location string
	body     string
	header   http.Header
}

func (v *visitor) do(method, path, kind string, body io.Reader, headers ...string) answer {
	v.t.Helper()
	req, err := http.NewRequestWithContext(v.t.Context(), method, v.s.URL+path, body)
	if err != nil {
		v.t.Fatal(err)
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := v.client.Do(req)
	if err != nil {
		v.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header.Get("Location"), string(b), res.Header}
}

func (v *visitor) get(path string, headers ...string) answer {
	v.t.Helper()
	return v.do("GET", path, "", nil, headers...)
}

func (v *visitor) post(path string, pairs ...string) answer {
	v.t.Helper()
	form := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Add(pairs[i], pairs[i+1])
	}
	return v.do("POST", path, "application/x-www-form-urlencoded", strings.NewReader(form.Encode()))
}

// want fails the test unless the answer has the status and all the words.
func (a answer) want(t *testing.T, what string, status int, words ...string) answer {
	t.Helper()
	if a.status != status {
		t.Fatalf("%s: status %d, want %d\n%s", what, a.status, status, a.body)
	}
	for _, w := range words {
		if !strings.Contains(a.body, w) {
			t.Fatalf("%s lacks %q:\n%s", what, w, a.body)
		}
	}
	return a
}

// sends fails the test unless the answer leads to a page that says the words.
func (a answer) sends(v *visitor, what, to string, words ...string) answer {
	v.t.Helper()
	a.want(v.t, what, http.StatusSeeOther)
	if !strings.HasPrefix(a.location, to) {
		v.t.Fatalf("%s leads to %q, want %q", what, a.location, to)
	}
	return v.get(a.location).want(v.t, what+": next page", http.StatusOK, words...)
}

func (v *visitor) login() *visitor {
	v.t.Helper()
	v.post("/login", "user", v.s.User, "password", v.s.Password).sends(v, "login", "/apps", `id="who">admin<`)
	return v
}

// zipped is a zip whose content depends on text.
func zipped(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	f, err := w.Create("index.html")
	if err == nil {
		_, err = io.WriteString(f, text)
	}
	if err != nil || w.Close() != nil {
		t.Fatal("zip not made", err)
	}
	return b.Bytes()
}

// upload sends the deploy form; a nil file is a form without one.
func (v *visitor) upload(filename string, file []byte, accept string, pairs ...string) answer {
	v.t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for i := 0; i+1 < len(pairs); i += 2 {
		if err := w.WriteField(pairs[i], pairs[i+1]); err != nil {
			v.t.Fatal(err)
		}
	}
	f, err := w.CreateFormFile("file", filename)
	if err == nil {
		_, err = f.Write(file)
	}
	if err != nil || w.Close() != nil {
		v.t.Fatal("form not made", err)
	}
	return v.do("POST", "/deploys", w.FormDataContentType(), &b, "Accept", accept)
}

// eventually gets path until its body holds the word.
func (v *visitor) eventually(path, word string) answer {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(30 * time.Millisecond)
	defer tick.Stop()
	for {
		a := v.get(path)
		if strings.Contains(a.body, word) {
			return a
		}
		select {
		case <-ctx.Done():
			v.t.Fatalf("%s never said %q:\n%s", path, word, a.body)
		case <-tick.C:
		}
	}
}

// deployed brings an app up and returns the page its deploy was followed on.
func (v *visitor) deployed(app, text string, pairs ...string) string {
	v.t.Helper()
	a := v.upload("site.zip", zipped(v.t, text), "text/html", append(pairs, "name", app)...).want(v.t, "deploy", http.StatusSeeOther)
	v.eventually(a.location, `id="answer"`)
	return a.location
}

// events reads an event stream until each says stop.
func (v *visitor) events(path string, each func(event, data string) (stop bool)) {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.t.Context(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", v.s.URL+path, nil)
	if err != nil {
		v.t.Fatal(err)
	}
	res, err := v.client.Do(req)
	if err != nil {
		v.t.Fatal(err)
	}
	defer res.Body.Close()
	if kind := res.Header.Get("Content-Type"); !strings.HasPrefix(kind, "text/event-stream") {
		v.t.Fatalf("%s answers %d %s", path, res.StatusCode, kind)
	}
	if err := readEvents(res.Body, each); err != nil {
		v.t.Fatalf("%s: %v", path, err)
	}
}

func readEvents(r io.Reader, each func(event, data string) (stop bool)) error {
	var seen strings.Builder
	buf := make([]byte, 4096)
	for {
		n, err := r.Read(buf)
		seen.Write(buf[:n])
		for {
			block, rest, ok := strings.Cut(seen.String(), "\n\n")
			if !ok {
				break
			}
			seen.Reset()
			seen.WriteString(rest)
			event, data := "", ""
			for line := range strings.SplitSeq(block, "\n") {
				if v, ok := strings.CutPrefix(line, "event: "); ok {
					event = v
				}
				if v, ok := strings.CutPrefix(line, "data: "); ok {
					data = v
				}
			}
			if event != "" && each(event, data) {
				return nil
			}
		}
		if err != nil {
			return fmt.Errorf("ended early: %w", err)
		}
	}
}

// fragmentOf reads a fragment event.
func fragmentOf(t *testing.T, data string) (id, html string) {
	t.Helper()
	var f struct{ ID, HTML string }
	if err := json.Unmarshal([]byte(data), &f); err != nil {
		t.Fatalf("%v in %s", err, data)
	}
	return f.ID, f.HTML
}
