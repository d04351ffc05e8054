// Package registry is the embedded image registry of `dinp up`: the distribution project's own registry as a handler over
// a folder. A cluster uses any registry that speaks the OCI protocol; this one is for one machine, so it has no TLS and no
// passwords, and belongs behind a loopback address.
package registry

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem" // where it keeps everything
)

// Registry serves the registry protocol under /v2/.
type Registry struct {
	app  *handlers.App
	data string

	grace     time.Duration
	asked     asked
	manifests sync.RWMutex // held for reading while a manifest is taken in, for writing by Sweep
}

// New opens the registry in dir, which is made if it is missing. What an earlier process has put there is served again,
// uploads that it began included.
func New(dir string, log *slog.Logger) (r *Registry, err error) {
	data := filepath.Join(dir, "data")
	if err := os.MkdirAll(data, 0o700); err != nil {
		return nil, err
	}
	secret, err := secretIn(dir)
	if err != nil {
		return nil, fmt.Errorf("registry secret: %w", err)
	}
	takeLog(log.With("component", "registry"))
	defer func() { // handlers.NewApp reports what it dislikes that way
		if p := recover(); p != nil {
			r, err = nil, fmt.Errorf("open registry in %s: %v", dir, p)
		}
	}()
	return &Registry{
		app: handlers.NewApp(context.Background(), configure(data, secret)), data: data, grace: Grace, asked: asked{when: map[string]time.Time{}},
	}, nil
}

// ServeHTTP implements http.Handler.
func (r *Registry) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	now, query := time.Now(), q.URL.Query()
	r.asked.note(query.Get("digest"), now) // the end of an upload
	r.asked.note(query.Get("mount"), now)
	if _, digest, ok := strings.Cut(q.URL.Path, "/blobs/"); ok {
		r.asked.note(digest, now)
	}
	if q.Method == http.MethodPut && strings.Contains(q.URL.Path, "/manifests/") {
		r.takeManifest(w, q)
		return
	}
	r.app.ServeHTTP(w, q)
}

// takeManifest reads the body first: a slow client must not hold a sweep up, and others behind it.
func (r *Registry) takeManifest(w http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, q.Body, maxManifest))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	q.Body = io.NopCloser(bytes.NewReader(body))
	r.manifests.RLock()
	defer r.manifests.RUnlock()
	r.app.ServeHTTP(w, q)
}

// Close stops the work in the background. The folder is consistent without it.
func (r *Registry) Close() error { return r.app.Shutdown() }

// catalogEntries bounds one page of /v2/_catalog. Without it the list is always empty.
const catalogEntries = 1000

func configure(data, secret string) *configuration.Configuration {
	c := &configuration.Configuration{
		Storage: configuration.Storage{
			"filesystem": {"rootdirectory": data},
			// No cache of what is there: a sweep would make it tell of blobs that are gone.
			"delete": {"enabled": true},
			"maintenance": {"uploadpurging": map[any]any{
				"enabled": true, "age": "24h", "interval": "6h", "dryrun": false,
			}},
		},
		Catalog: configuration.Catalog{MaxEntries: catalogEntries},
	}
	c.HTTP.Secret = secret
	c.HTTP.RelativeURLs = true // it may be reached under several addresses
	c.Log.AccessLog.Disabled = true
	return c
}

// secretIn returns the key that signs the state of uploads. It is kept, so that an upload goes on after a restart.
func secretIn(dir string) (string, error) {
	path := filepath.Join(dir, "secret")
	b, err := os.ReadFile(path)
	if err == nil && len(b) > 0 {
		return strings.TrimSpace(string(b)), nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	secret := rand.Text()
	temp := path + ".new"
	if err := os.WriteFile(temp, []byte(secret+"\n"), 0o600); err != nil {
		return "", err
	}
	return secret, os.Rename(temp, path)
}
