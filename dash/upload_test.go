package dash

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/sql/store/storetest"
)

const offsetStream = "application/offset+octet-stream"

func metadata(pairs ...string) string {
	var out []string
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, pairs[i]+" "+base64.StdEncoding.EncodeToString([]byte(pairs[i+1])))
	}
	return strings.Join(out, ",")
}

// beginUpload starts a resumable upload and returns its path.
func (r *rig) beginUpload(token string, length int, meta string) string {
	r.t.Helper()
	status, text, h := r.call("POST", "/artifacts", token, nil, "Upload-Length", fmt.Sprint(length), "Upload-Metadata", meta, "Tus-Resumable", "1.0.0")
	if status != 201 || h.Get("Tus-Resumable") != "1.0.0" || h.Get("Upload-Offset") != "0" {
		r.t.Fatalf("begin upload: %d %v %s", status, h, text)
	}
	return h.Get("Location")
}

func (r *rig) patch(path string, offset int, body io.Reader) (int, string, http.Header) {
	r.t.Helper()
	return r.call("PATCH", path, r.admin, body, "Content-Type", offsetStream, "Upload-Offset", fmt.Sprint(offset))
}

func TestUpload_ResumesWhereItStopped(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t), withRegistry(t))
	body := site(t, "resumed", 300_000)
	at := r.beginUpload(r.admin, len(body), metadata("filename", "../site.tar.gz", "sha256", shaOf(body)))
	if status, text, h := r.patch(at, 0, bytes.NewReader(body[:100_000])); status != 204 || h.Get("Upload-Offset") != "100000" || h.Get("Dinp-Artifact") != "" {
		t.Fatalf("first part: %d %v %s", status, h, text)
	}
	r.breakOff(at, 100_000, body[100_000:200_000], len(body)-100_000)
	status, _, h := r.call("HEAD", at, r.admin, nil)
	if status != 200 || h.Get("Upload-Length") != fmt.Sprint(len(body)) || h.Get("Cache-Control") != "no-store" {
		t.Fatalf("HEAD: %d %v", status, h)
	}
	var offset int
	if _, err := fmt.Sscan(h.Get("Upload-Offset"), &offset); err != nil || offset < 100_000 || offset > 200_000 {
		t.Fatalf("offset after the break: %q", h.Get("Upload-Offset"))
	}
	if status, text, h := r.patch(at, 5, bytes.NewReader(body[5:])); status != 409 || h.Get("Upload-Offset") != fmt.Sprint(offset) {
		t.Errorf("at a wrong offset: %d %v %s", status, h, text)
	}
	status, text, h := r.patch(at, offset, bytes.NewReader(body[offset:]))
	if status != 204 || h.Get("Dinp-Artifact") != shaOf(body) {
		t.Fatalf("last part: %d %v %s", status, h, text)
	}
	if !bytes.Equal(stored(t, r.cfg.Registry, shaOf(body)), body) {
		t.Error("the registry has other bytes")
	}
	if status, _, h := r.call("HEAD", at, r.admin, nil); status != 200 || h.Get("Dinp-Artifact") != shaOf(body) {
		t.Errorf("HEAD after a lost answer: %d %v", status, h)
	}
	if status, _, h := r.patch(at, len(body), nil); status != 204 || h.Get("Dinp-Artifact") != shaOf(body) {
		t.Errorf("PATCH after a lost answer: %d %v", status, h)
	}
	if status, _, h := r.call("HEAD", "/artifacts/"+shaOf(body), r.admin, nil); status != 200 || h.Get("Upload-Length") != fmt.Sprint(len(body)) {
		t.Errorf("HEAD of the artifact: %d %v", status, h)
	}
	if parts, _ := filepath.Glob(filepath.Join(r.uploads.dir, "*.part")); len(parts) != 0 {
		t.Errorf("left: %v", parts)
	}
}

// breakOff sends less than it announced, and waits until dash has noticed.
func (r *rig) breakOff(path string, offset int, body []byte, announced int) {
	r.t.Helper()
	in, out := io.Pipe()
	req, err := http.NewRequestWithContext(r.t.Context(), "PATCH", r.url(path), in)
	if err != nil {
		r.t.Fatal(err)
	}
	req.ContentLength = int64(announced)
	req.Header.Set("Authorization", "Bearer "+r.admin)
	req.Header.Set("Content-Type", offsetStream)
	req.Header.Set("Upload-Offset", fmt.Sprint(offset))
	done := make(chan struct{})
	go func() {
		defer close(done)
		if resp, err := http.DefaultClient.Do(req); err == nil {
			resp.Body.Close()
		}
	}()
	if _, err := out.Write(body); err != nil {
		r.t.Fatal(err)
	}
	id := path[strings.LastIndex(path, "/")+1:]
	busy := func() bool {
		r.uploads.mu.Lock()
		defer r.uploads.mu.Unlock()
		return r.uploads.busy[id]
	}
	eventually(r.t, func() error {
		if !busy() {
			return errors.New("the request has not arrived")
		}
		return nil
	})
	if status, text, _ := r.patch(path, offset, strings.NewReader("x")); status != 409 || !strings.Contains(text, "another request") {
		r.t.Errorf("two writers at once: %d %s", status, text)
	}
	out.CloseWithError(errors.New("cable pulled"))
	<-done
	eventually(r.t, func() error {
		if busy() {
			return errors.New("dash has not noticed the break")
		}
		return nil
	})
}

func TestUpload_Refusals(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t), withRegistry(t), func(c *Config) { c.MaxUploadMiB = 1 })
	for _, h := range []string{"", "x", "0", "-5"} {
		r.refused(model.CodeBadRequest, "POST", "/artifacts", r.admin, nil, "Upload-Length", h)
	}
	r.refused(model.CodeTooLarge, "POST", "/artifacts", r.admin, nil, "Upload-Length", fmt.Sprint(1<<20+1))
	r.refused(model.CodeBadRequest, "POST", "/artifacts", r.admin, nil, "Upload-Length", "5", "Upload-Metadata", "filename ***")
	r.refused(model.CodeBadRequest, "POST", "/artifacts", r.admin, nil, "Upload-Length", "5", "Upload-Metadata", metadata("sha256", "zz"))
	r.refused(model.CodeDenied, "POST", "/artifacts", r.user("vic", model.Viewer), nil, "Upload-Length", "5")
	r.refused(model.CodeUnauthentic, "POST", "/artifacts", "", nil, "Upload-Length", "5")
	dan := r.user("dan", model.Deployer)

	body := site(t, "x", 10)
	at := r.beginUpload(r.admin, len(body), metadata("filename", "s.tar.gz", "sha256", strings.Repeat("0", 64)))
	r.refused(model.CodeNotFound, "DELETE", at, dan, nil)
	if status, _, _ := r.call("HEAD", at, dan, nil); status != 404 {
		t.Errorf("another user's upload: %d", status)
	}
	if status, text, _ := r.call("PATCH", at, r.admin, "x", "Upload-Offset", "0"); status != 415 {
		t.Errorf("without a content type: %d %s", status, text)
	}
	if status, text, _ := r.patch(at, 0, bytes.NewReader(body)); status != 400 || !strings.Contains(text, "damaged on its way") {
		t.Errorf("another sum: %d %s", status, text)
	}
	if status, _, _ := r.call("HEAD", at, r.admin, nil); status != 404 {
		t.Errorf("a damaged upload is kept: %d", status)
	}
	at = r.beginUpload(r.admin, 4000, metadata("filename", "notes.txt"))
	if status, text, _ := r.patch(at, 0, strings.NewReader(strings.Repeat("n", 1000))); status != 400 || !strings.Contains(text, "D130") {
		t.Errorf("not an archive, at its first part: %d %s", status, text)
	}
	at = r.beginUpload(r.admin, 10, "")
	if status, text, _ := r.patch(at, 0, strings.NewReader(strings.Repeat("n", 11))); status != 400 || !strings.Contains(text, "past Upload-Length") {
		t.Errorf("more than announced: %d %s", status, text)
	}
	do[any](r, 204, "DELETE", at, r.admin, nil)
	for range uploadsPerUser {
		r.beginUpload(dan, 10, "")
	}
	r.refused(model.CodeTooMany, "POST", "/artifacts", dan, nil, "Upload-Length", "10")
	for _, id := range []string{"..%2F..%2Fetc%2Fpasswd", "x", strings.Repeat("A", 26)} {
		if status, _, _ := r.call("HEAD", "/artifacts/uploads/"+id, r.admin, nil); status != 404 {
			t.Errorf("upload %s: %d", id, status)
		}
	}
	if status, _, h := r.call("OPTIONS", "/artifacts", "", nil); status != 204 || h.Get("Tus-Version") != "1.0.0" || h.Get("Tus-Max-Size") != "1048576" {
		t.Errorf("OPTIONS: %d %v", status, h)
	}
}

func TestUpload_FinishesAfterTheRegistryCameBack(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t))
	body := site(t, "x", 10)
	at := r.beginUpload(r.admin, len(body), "")
	if status, text, h := r.patch(at, 0, bytes.NewReader(body)); status != 503 || !strings.Contains(text, "D138") || h.Get("Upload-Offset") != fmt.Sprint(len(body)) {
		t.Fatalf("without a registry: %d %v %s", status, h, text)
	}
	r2 := newRig(t, storetest.SQLite(t), withRegistry(t))
	r.Dash.artifacts = r2.artifacts
	status, text, _ := r.call("PATCH", at, r.admin, nil, "Content-Type", offsetStream, "Upload-Offset", fmt.Sprint(len(body)), "Accept", "application/json")
	if status != 200 || !strings.Contains(text, shaOf(body)) {
		t.Errorf("with it: %d %s", status, text)
	}
	do[api.Artifact](r, 200, "GET", "/artifacts/"+shaOf(body), r.admin, nil)
	r.refused(model.CodeBadRequest, "GET", "/artifacts/nothing", r.admin, nil)
	r.refused(model.CodeNotFound, "GET", "/artifacts/"+strings.Repeat("0", 64), r.admin, nil)
}

func TestUploadStore_ExpiresWhatNobodyFinishes(t *testing.T) {
	t.Parallel()
	s := newUploadStore(t.TempDir(), 1<<20)
	old, err := s.create(upload{Owner: "u", Length: 5})
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := s.create(upload{Owner: "u", Length: 5})
	if err != nil {
		t.Fatal(err)
	}
	slow, err := s.create(upload{Owner: "u", Length: 5})
	if err != nil {
		t.Fatal(err)
	}
	crashed := filepath.Join(s.dir, "whole-1.tmp")
	if err := os.WriteFile(crashed, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	yesterday := time.Now().Add(-uploadTime - time.Minute)
	for _, f := range []string{s.meta(old.ID), s.part(old.ID), s.meta(slow.ID), crashed} {
		if err := os.Chtimes(f, yesterday, yesterday); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.expire(time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.find(old.ID, "u"); !model.IsKind(err, model.NotFound) {
		t.Errorf("the old one: %v", err)
	}
	for _, u := range []upload{fresh, slow} {
		if _, _, err := s.find(u.ID, "u"); err != nil {
			t.Errorf("one that is written to: %v", err)
		}
	}
	if _, err := os.Stat(crashed); !os.IsNotExist(err) {
		t.Errorf("what a crash left: %v", err)
	}
}

func TestCleanFilename(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"shop.war": "shop.war", "../../etc/passwd": "passwd", `C:\apps\shop.war`: "shop.war", "": "", "..": "", "/": "", "a/..": "",
		"sh\x1b[31mop\n.war": "sh[31mop.war", "商店.war": "商店.war", strings.Repeat("x", 300): strings.Repeat("x", 200), "\xff.zip": ".zip",
	} {
		if got := cleanFilename(in); got != want {
			t.Errorf("cleanFilename(%q): got %q, want %q", in, got, want)
		}
	}
}

func FuzzCheckMagic(f *testing.F) {
	f.Add([]byte("PK\x03\x04"), "a.zip")
	f.Add(bytes.Repeat([]byte{0}, headBytes), "")
	f.Fuzz(func(t *testing.T, head []byte, filename string) {
		if err := checkMagic(head, filename); err != nil && !model.IsCode(err, model.CodeBadArtifact) {
			t.Errorf("refused by %v", err)
		}
		if s := cleanFilename(filename); strings.ContainsAny(s, "/\\\n\x00") || s == ".." || len(s) > 200 {
			t.Errorf("file name %q", s)
		}
	})
}

// The headers of an upload are its client's: read, or refused.
func FuzzUploadHeaders(f *testing.F) {
	f.Add("filename c2hvcC53YXI=,sha256 MDA=", "sha1 2jmj7l5rSw0yVb/vlWAYkK/YBwk=")
	f.Add(" ,,a", "sha256 ")
	f.Fuzz(func(t *testing.T, metadata, sum string) {
		if m, err := uploadMetadata(metadata); err == nil {
			if name := cleanFilename(m["filename"]); strings.ContainsAny(name, "/\\\x00\n") {
				t.Errorf("filename %q", name)
			}
		}
		if c, err := readChecksum(sum); err == nil && c != nil && len(c.want) != c.Size() {
			t.Errorf("checksum of %d bytes", len(c.want))
		}
	})
}

// large is an artifact of 6 MiB; those of other changes differ from it in a few bytes amidst.
func large(change string) []byte {
	noise := make([]byte, 6<<20)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(noise)
	return slices.Concat([]byte("PK\x03\x04"), noise[:2<<20], []byte(change), noise[2<<20:])
}

// An artifact is kept in parts, so that the next one of the app costs what is new in it.
func TestUpload_AChangedArtifactIsStoredAsWhatIsNew(t *testing.T) {
	t.Parallel()
	s := newShelf(t, storetest.SQLite(t))
	blobs := func(content []byte) map[string]int64 {
		sha := s.upload(content)
		if n, err := s.artifacts.size(t.Context(), sha); err != nil || n != int64(len(content)) {
			t.Errorf("size %d, %v; want %d", n, err, len(content))
		}
		out, err := s.artifacts.blobs(t.Context(), model.ArtifactRepository+":"+model.ArtifactTag(sha))
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	was, news := blobs(large("")), int64(0)
	for digest, n := range blobs(large("a line more")) {
		if was[digest] == 0 {
			news += n
		}
	}
	if news == 0 || news > 5<<20 {
		t.Errorf("the second artifact has %d bytes that the first has not", news)
	}
}
