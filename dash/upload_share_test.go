package dash

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/sql/store/storetest"
)

func TestUpload_CutAtEveryTenthItGoesOnWhereItStopped(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t), withRegistry(t))
	for tenth := 1; tenth <= 9; tenth++ {
		body := site(t, fmt.Sprint("tenth ", tenth), 100_000)
		cut := len(body) * tenth / 10
		at := r.beginUpload(r.admin, len(body), metadata("filename", "site.tar.gz", "sha256", shaOf(body)))
		r.breakOff(at, 0, body[:cut], len(body))
		_, _, h := r.call("HEAD", at, r.admin, nil)
		var offset int
		if _, err := fmt.Sscan(h.Get("Upload-Offset"), &offset); err != nil || offset > cut {
			t.Fatalf("cut at %d: offset %q", cut, h.Get("Upload-Offset"))
		}
		if status, text, h := r.patch(at, offset, bytes.NewReader(body[offset:])); status != 204 || h.Get("Dinp-Artifact") != shaOf(body) {
			t.Fatalf("cut at %d: %d %v %s", cut, status, h, text)
		}
		if !bytes.Equal(stored(t, r.cfg.Registry, shaOf(body)), body) {
			t.Errorf("cut at %d: the registry has other bytes", cut)
		}
	}
}

func TestUpload_TheSameFileTwiceAtOnceIsOneArtifact(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t), withRegistry(t))
	body := site(t, "twins", 200_000)
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			at := r.beginUpload(r.admin, len(body), metadata("filename", "site.tar.gz"))
			for from := 0; from < len(body); from += 70_000 {
				status, text, h := r.patch(at, from, bytes.NewReader(body[from:min(from+70_000, len(body))]))
				if status != 204 || from+70_000 >= len(body) && h.Get("Dinp-Artifact") != shaOf(body) {
					t.Errorf("part at %d: %d %v %s", from, status, h, text)
				}
			}
		})
	}
	both.Wait()
	if !bytes.Equal(stored(t, r.cfg.Registry, shaOf(body)), body) {
		t.Error("the registry has other bytes")
	}
}

func TestUpload_AChecksumKeepsAllOfTheBytesOrNone(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t), withRegistry(t))
	body := site(t, "checked", 100_000)
	at := r.beginUpload(r.admin, len(body), metadata("filename", "site.tar.gz"))
	send := func(header string, part []byte, offset int) (int, http.Header) {
		t.Helper()
		status, _, h := r.call("PATCH", at, r.admin, bytes.NewReader(part), "Content-Type", offsetStream, "Upload-Offset", fmt.Sprint(offset), "Upload-Checksum", header)
		return status, h
	}
	sum := func(b []byte) string {
		s := sha1.Sum(b)
		return "sha1 " + base64.StdEncoding.EncodeToString(s[:])
	}
	if status, h := send(sum([]byte("other")), body[:50_000], 0); status != 460 || h.Get("Upload-Offset") != "0" {
		t.Errorf("damaged: %d %v", status, h)
	}
	for _, header := range []string{"md4 AAAA", "sha1 %%%", "sha1 AAAA"} {
		if status, _ := send(header, body[:10], 0); status != 400 {
			t.Errorf("%s: %d", header, status)
		}
	}
	if status, h := send(sum(body[:50_000]), body[:50_000], 0); status != 204 || h.Get("Upload-Offset") != "50000" {
		t.Errorf("first half: %d %v", status, h)
	}
	if status, h := send(sum(body[50_000:]), body[50_000:], 50_000); status != 204 || h.Get("Dinp-Artifact") != shaOf(body) {
		t.Errorf("second half: %d %v", status, h)
	}
	status, _, h := r.call("OPTIONS", "/artifacts", "", nil)
	if status != 204 || !strings.Contains(h.Get("Tus-Extension"), "checksum") || h.Get("Tus-Checksum-Algorithm") != "sha1,sha256" {
		t.Errorf("OPTIONS: %d %v", status, h)
	}
}

// Two dashes with one database and one data folder: an upload may go on at either, and only one writes at a time.
func TestUpload_GoesOnAtAnotherDashThatSharesTheFolder(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t), withRegistry(t))
	other, err := New(r.cfg, r.store, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.leader.close() })
	s := httptest.NewServer(other.Handler())
	t.Cleanup(s.Close)
	elsewhere := func(method, path string, offset int, body io.Reader) (int, http.Header) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+r.admin)
		req.Header.Set("Content-Type", offsetStream)
		req.Header.Set("Upload-Offset", fmt.Sprint(offset))
		resp, err := s.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return resp.StatusCode, resp.Header
	}
	body := site(t, "shared", 200_000)
	at := r.beginUpload(r.admin, len(body), metadata("filename", "site.tar.gz"))
	if status, text, _ := r.patch(at, 0, bytes.NewReader(body[:80_000])); status != 204 {
		t.Fatalf("here: %d %s", status, text)
	}
	if status, h := elsewhere("HEAD", at, 0, nil); status != 200 || h.Get("Upload-Offset") != "80000" {
		t.Errorf("asked elsewhere: %d %v", status, h)
	}
	id := at[strings.LastIndex(at, "/")+1:]
	unlock, err := r.uploads.lock(id)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.uploads.lock(id); !model.IsCode(err, model.CodeConflict) {
		t.Errorf("both write: %v", err)
	}
	unlock()
	if status, h := elsewhere("PATCH", at, 80_000, bytes.NewReader(body[80_000:])); status != 204 || h.Get("Dinp-Artifact") != shaOf(body) {
		t.Errorf("the rest elsewhere: %d %v", status, h)
	}
	if !bytes.Equal(stored(t, r.cfg.Registry, shaOf(body)), body) {
		t.Error("the registry has other bytes")
	}
}
