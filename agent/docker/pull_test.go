package docker

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/dinp/dinp/agent/runtime"
)

// engine is an HTTP server that plays a Docker engine which has no image.
func engine(t *testing.T, pull http.HandlerFunc) *Docker {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/_ping"):
			w.Header().Set("Api-Version", "1.41")
		case strings.HasSuffix(r.URL.Path, "/images/create"):
			pull(w, r)
		default:
			http.Error(w, `{"message":"no such image"}`, http.StatusNotFound)
		}
	}))
	t.Cleanup(srv.Close)
	d, err := New(Options{Host: strings.Replace(srv.URL, "http://", "tcp://", 1), NodeID: "n", Registry: "127.0.0.1:5000",
		AuthFile: authFile(t, "u:p"), PullIdle: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

const testImage = "dinp/apps/shop@sha256:0000000000000000000000000000000000000000000000000000000000000000"

func TestEnsureImage_WithoutProgress_GivesUp(t *testing.T) {
	d := engine(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, `{"status":"Pulling"}`)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	if err := d.EnsureImage(t.Context(), testImage); !errors.Is(err, errStalled) {
		t.Errorf("got %v, want %v", err, errStalled)
	}
}

func TestEnsureImage_FailureInTheStream_IsAnError(t *testing.T) {
	d := engine(t, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, `{"status":"Pulling"}`)
		fmt.Fprintln(w, `{"errorDetail":{"message":"boom"},"error":"manifest unknown"}`)
	})
	err := d.EnsureImage(t.Context(), testImage)
	if err == nil || err.Error() != "manifest unknown" || errors.Is(err, runtime.ErrAway) {
		t.Errorf("got %v, want manifest unknown", err)
	}
}

func TestEnsureImage_SendsCredentialsAndDigest(t *testing.T) {
	d := engine(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Registry-Auth") == "" || r.FormValue("fromImage") != "127.0.0.1:5000/dinp/apps/shop" ||
			!strings.HasPrefix(r.FormValue("tag"), "sha256:") {
			t.Errorf("request %v %v", r.Header, r.URL)
		}
	})
	if err := d.EnsureImage(t.Context(), testImage); err != nil {
		t.Error(err)
	}
}

func frame(stream byte, text string) []byte {
	b := make([]byte, 8, 8+len(text))
	b[0] = stream
	binary.BigEndian.PutUint32(b[4:], uint32(len(text)))
	return append(b, text...)
}

func TestReadFrames_KeepsStreamsTimesAndCutLines(t *testing.T) {
	in := bytes.Join([][]byte{
		frame(1, "2026-01-02T03:04:05.000000006Z hello world\r\n"),
		frame(2, "2026-01-02T03:04:06Z first half"), // the engine cut this line
		frame(2, "2026-01-02T03:04:07Z second half\n"),
		frame(1, "no time\n"),
	}, nil)
	var got []runtime.Line
	err := readFrames(bytes.NewReader(in), func(l runtime.Line) error { got = append(got, l); return nil })
	want := []runtime.Line{
		{At: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), Text: "hello world"},
		{At: time.Date(2026, 1, 2, 3, 4, 6, 0, time.UTC), Stderr: true, Text: "first half"},
		{At: time.Date(2026, 1, 2, 3, 4, 7, 0, time.UTC), Stderr: true, Text: "second half"},
		{Text: "no time"},
	}
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, %v\nwant %v", got, err, want)
	}
}

func FuzzReadFrames(f *testing.F) {
	f.Add(frame(1, "2026-01-02T03:04:05Z x\n"))
	f.Add([]byte{1, 0, 0, 0, 255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		n := 0
		err := readFrames(bytes.NewReader(b), func(l runtime.Line) error {
			if n += len(l.Text); n > len(b) {
				t.Fatal("more text than input")
			}
			return nil
		})
		if errors.Is(err, io.EOF) && !errors.Is(err, runtime.ErrAway) {
			t.Fatal(err)
		}
	})
}
