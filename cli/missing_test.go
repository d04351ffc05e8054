package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"testing"
	"testing/iotest"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/parts"
)

// knowsParts lets the fake have the parts of base, and make files of these and of what is sent.
func (f *fakeDash) knowsParts(base []byte) {
	known := map[string][]byte{}
	c := parts.NewCutter()
	c.Write(base)
	cut, _ := c.Finish()
	for _, p := range cut {
		known[p.SHA256] = base[p.Offset : p.Offset+p.Size]
	}
	f.mux.HandleFunc("POST /apps/{app}/uploads", func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		var in api.NewUpload
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			refuse(w, 400, model.E(model.CodeBadRequest, "%v", err))
			return
		}
		u := &fakeUpload{name: in.Filename}
		var out api.PlannedUpload
		for i, p := range in.Parts {
			b := known[p.SHA256]
			if b == nil {
				out.Missing = append(out.Missing, i)
				u.size += int(p.Size)
			}
			u.parts = append(u.parts, fakePart{b, int(p.Size)})
		}
		id := fmt.Sprintf("u%d", len(f.uploads)+1)
		f.uploads[id] = u
		out.Upload = "/api/v1/uploads/" + id
		answer(w, 200, out)
	})
}

// changed is a file of 6 MiB; those of other words differ from it in a few bytes amidst.
func changed(word string) []byte {
	noise := make([]byte, 6<<20)
	rand.NewChaCha8([32]byte{1}).Read(noise)
	return slices.Concat(noise[:2<<20], []byte(word), noise[2<<20:])
}

func TestDeploy_SendsWhatTheServerLacks(t *testing.T) {
	t.Parallel()
	for name, cuts := range map[string][]int{"at once": nil, "over broken connections": {0, 100, 65536}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			f.knowsParts(changed("before"))
			f.cutUploads = cuts
			content := changed("and after")
			want(t, run(t, f, "deploy", "shop", file(t, "shop.war", content)), 0, "http://shop.apps.localhost:8080/\n", "the server had the rest", "v1 serves")
			if n := f.seen("POST /artifacts"); n != 0 {
				t.Error("the whole was sent, too")
			}
			if u := f.uploads["u1"]; len(u.data) > 5<<20 {
				t.Errorf("%d bytes were sent of %d", len(u.data), len(content))
			}
			for _, got := range f.artifacts {
				if !bytes.Equal(got, content) {
					t.Error("another content arrived")
				}
			}
		})
	}
}

// Whatever becomes of the parts, the whole goes: on an older server, and on one that cannot make the file of them after all.
func TestDeploy_SendsTheWholeWhenPartsAreOfNoUse(t *testing.T) {
	t.Parallel()
	content := changed("and after")
	refusal := func(status int, code model.Code) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { refuse(w, status, model.E(code, "no")) }
	}
	for name, prepare := range map[string]func(*fakeDash){
		"an older server": func(*fakeDash) {},
		"nothing to spare": func(f *fakeDash) {
			f.mux.HandleFunc("POST /apps/{app}/uploads", func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, api.PlannedUpload{}) })
		},
		"a question it refuses": func(f *fakeDash) { f.mux.HandleFunc("POST /apps/{app}/uploads", refusal(400, model.CodeBadRequest)) },
		"a part that is gone": func(f *fakeDash) {
			f.knowsParts(changed("before"))
			f.mux.HandleFunc("PATCH /uploads/u1", refusal(400, model.CodeBadRequest))
		},
		"an upload that it has forgotten": func(f *fakeDash) {
			f.knowsParts(changed("before"))
			f.mux.HandleFunc("PATCH /uploads/u1", refusal(404, model.CodeNotFound))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			prepare(f)
			want(t, run(t, f, "deploy", "shop", file(t, "shop.war", content)), 0, "http://shop.apps.localhost:8080/\n", "uploaded shop.war (6")
			if n := f.seen("POST /artifacts"); n != 1 {
				t.Errorf("the whole was sent %d times", n)
			}
		})
	}
}

func TestDeploy_AServerThatAsksForPartsThereAreNot(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.mux.HandleFunc("POST /apps/{app}/uploads", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 200, api.PlannedUpload{Upload: "/api/v1/uploads/u1", Missing: []int{-1}})
	})
	want(t, run(t, f, "deploy", "shop", file(t, "shop.war", changed(""))), 1, "", "asks for part -1")
}

func TestStretches_ReadAsOneFile(t *testing.T) {
	t.Parallel()
	s := stretches{of: bytes.NewReader([]byte("0123456789")), parts: []parts.Part{{Offset: 1, Size: 3}, {Offset: 4, Size: 1}, {Offset: 8, Size: 2}}}
	if err := iotest.TestReader(io.NewSectionReader(s, 0, 6), []byte("123489")); err != nil {
		t.Error(err)
	}
	short := stretches{of: bytes.NewReader([]byte("01")), parts: []parts.Part{{Offset: 0, Size: 5}}}
	if b, err := io.ReadAll(io.NewSectionReader(short, 0, 5)); len(b) != 2 || err != nil {
		t.Errorf("a file that became shorter gives %q, %v", b, err)
	}
}
