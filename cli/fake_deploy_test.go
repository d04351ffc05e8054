package cli

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
)

func (f *fakeDash) release(w http.ResponseWriter, r *http.Request, a *api.App) {
	var in api.NewRelease
	json.NewDecoder(r.Body).Decode(&in)
	if _, ok := f.artifacts[in.Artifact]; in.Image == "" && !ok {
		refuse(w, 404, model.E(model.CodeNotFound, "there is no artifact %s", in.Artifact))
		return
	}
	id := fmt.Sprintf("b%d", len(f.deploys)+1)
	d := api.Deploy{App: a.Name, URL: a.URL, Build: &api.Build{ID: id, App: a.Name, Status: "queued"}, Follow: "/api/v1/builds/" + id + "/deploy", State: "queued"}
	end := d
	end.Done, end.Build = true, &api.Build{ID: id, App: a.Name, Status: "succeeded", EndedAt: t0}
	if in.Note == "broken" {
		end.State = "v1 failed"
		end.Error = model.E(model.CodeNotReady, "v1 of shop never became ready in 5m0s: 0 of 1 instances answered").
			WithEvidence("GET / → connection refused (12 times)", "listening on 127.0.0.1:3000\x1b[31m").WithStill("v0 keeps serving 1 of 1").WithNext("dinp logs shop --release v1")
	} else {
		f.nextRelease(a)
		end.OK, end.Release, end.State = true, a.Release, a.State
	}
	f.deploys[id] = end
	answer(w, 202, d)
}

func (f *fakeDash) deploy(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Accept") == "text/event-stream" {
		f.follow(w, r)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	d := f.deploys[r.PathValue("id")]
	d.Done, d.Follow = false, "/api/v1/builds/"+r.PathValue("id")+"/deploy"
	answer(w, 200, d)
}

// follow streams a deploy; a stream that is cut ends in the middle of an event,
// and the next one begins from the start.
func (f *fakeDash) follow(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	end := f.deploys[r.PathValue("id")]
	cut := f.cutStreams > 0
	if cut {
		f.cutStreams--
	}
	f.mu.Unlock()
	w.Header().Set("Content-Type", "text/event-stream")
	for i, text := range []string{"unpack: 3 files", "assemble \x1b[1mstatic\x1b[0m", "push"} {
		if cut && i == 2 {
			fmt.Fprint(w, "event: log\ndata: {\"seq\":3,\"te")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
		fmt.Fprintf(w, "id: %d\n", i+1)
		sendEvent(w, "log", api.LogLine{Seq: int64(i + 1), At: t0, Text: text})
	}
	fmt.Fprint(w, ": still here\n\n")
	sendEvent(w, "deploy", api.Deploy{App: end.App, URL: end.URL, Build: end.Build, State: "starting v1"})
	sendEvent(w, "deploy", end)
}

func sendEvent(w io.Writer, name string, v any) {
	b, _ := json.Marshal(v)
	fmt.Fprintf(w, "event: %s\ndata: %s\n\n", name, b)
}

func (f *fakeDash) hasArtifact(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.artifacts[r.PathValue("sha")]; !ok {
		w.WriteHeader(404)
	}
}

func (f *fakeDash) beginUpload(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	size, _ := strconv.Atoi(r.Header.Get("Upload-Length"))
	first, _, _ := strings.Cut(r.Header.Get("Upload-Metadata"), ",")
	name, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(first, "filename "))
	id := fmt.Sprintf("u%d", len(f.uploads)+1)
	f.uploads[id] = &fakeUpload{name: string(name), size: size}
	w.Header().Set("Location", "/api/v1/uploads/"+id)
	w.WriteHeader(201)
}

func (f *fakeDash) askUpload(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	u := f.uploads[r.PathValue("id")]
	if u == nil {
		w.WriteHeader(404)
		return
	}
	f.tell(w, u)
}

// tell says how far an upload is; a full one becomes an artifact.
func (f *fakeDash) tell(w http.ResponseWriter, u *fakeUpload) {
	w.Header().Set("Upload-Offset", strconv.Itoa(len(u.data)))
	if len(u.data) == u.size {
		content := u.file()
		sum := sha256.Sum256(content)
		sha := hex.EncodeToString(sum[:])
		f.artifacts[sha] = content
		w.Header().Set("Dinp-Artifact", sha)
	}
	w.WriteHeader(204)
}

func (f *fakeDash) patchUpload(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	u := f.uploads[r.PathValue("id")]
	cut := -1
	if len(f.cutUploads) > 0 {
		cut, f.cutUploads = f.cutUploads[0], f.cutUploads[1:]
	}
	f.mu.Unlock()
	if u == nil || r.Header.Get("Content-Type") != "application/offset+octet-stream" {
		w.WriteHeader(404)
		return
	}
	if at, _ := strconv.Atoi(r.Header.Get("Upload-Offset")); at != len(u.data) {
		refuse(w, 409, model.E(model.CodeConflict, "the upload is at %d, not %d", len(u.data), at))
		return
	}
	body := io.Reader(r.Body)
	if cut >= 0 {
		body = io.LimitReader(body, int64(cut))
	}
	b, _ := io.ReadAll(body)
	f.mu.Lock()
	defer f.mu.Unlock()
	u.data = append(u.data, b...)
	if cut >= 0 {
		panic(http.ErrAbortHandler)
	}
	f.tell(w, u)
}
