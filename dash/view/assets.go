package view

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
)

//go:embed static
var staticFS embed.FS

type asset struct {
	body []byte
	kind string
}

// Static files carry a hash of their content in their name: browsers may keep
// them for ever, and a new version of dinp is never seen with old scripts.
var (
	assetNames = map[string]string{} // base.css → /static/base.1a2b3c4d.css
	assets     = map[string]asset{}  // by that path; both written once, at start
)

func init() {
	files, err := fs.ReadDir(staticFS, "static")
	if err != nil {
		panic("view: " + err.Error()) // embedded: only a broken build comes here
	}
	for _, f := range files {
		b, err := staticFS.ReadFile("static/" + f.Name())
		if err != nil {
			panic("view: " + err.Error())
		}
		sum := sha256.Sum256(b)
		ext := path.Ext(f.Name())
		at := "/static/" + strings.TrimSuffix(f.Name(), ext) + "." + hex.EncodeToString(sum[:6]) + ext
		assetNames[f.Name()] = at
		assets[at] = asset{body: b, kind: mime.TypeByExtension(ext)}
	}
}

func assetPath(name string) (string, error) {
	at, ok := assetNames[name]
	if !ok {
		return "", fmt.Errorf("no static file %q", name)
	}
	return at, nil
}

// ServeAsset answers a request for a static file, or 404.
func ServeAsset(w http.ResponseWriter, r *http.Request) {
	a, ok := assets[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", a.kind)
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(a.body) // the client went away: nobody to tell
}
