package cert

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/dinp/dinp/common/route"
	"github.com/dinp/dinp/common/seal"
)

// published are the certificates the leader wrote to Redis.
type published struct {
	key    *seal.Key // nil: no secret, nothing can be opened
	file   string
	at     route.Version
	sealed map[string]string // by name, as it stands in Redis
	certs  map[string]*tls.Certificate
}

func newPublished(secret, file string) (*published, error) {
	p := &published{file: file, sealed: map[string]string{}, certs: map[string]*tls.Certificate{}}
	if secret == "" {
		return p, nil
	}
	k, err := seal.New(secret, seal.Routers)
	p.key = &k
	return p, err
}

// Wants reports whether a version in Redis has anything new for us. An older
// one is a stale replica's, and none at all a flushed Redis: both change
// nothing.
func (k *Keeper) Wants(v route.Version) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.published.key != nil && k.published.at.Less(v)
}

// Publish takes the certificates of a version, sealed and by name. One that
// cannot be opened keeps what its name had.
func (k *Keeper) Publish(v route.Version, sealed map[string]string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.published.key == nil || !k.published.at.Less(v) {
		return
	}
	for name, err := range k.published.take(v, sealed) {
		k.log.Error("certificate unusable", "host", name, "err", err)
	}
	k.use()
	k.log.Info("certificates read from Redis", "version", v.String(), "names", len(k.published.certs))
	if err := k.published.save(); err != nil {
		k.log.Error("certificates not saved", "err", err)
	}
}

// take opens what is new, and returns what could not be.
func (p *published) take(v route.Version, sealed map[string]string) map[string]error {
	bad := map[string]error{}
	certs, kept := make(map[string]*tls.Certificate, len(sealed)), make(map[string]string, len(sealed))
	for name, text := range sealed {
		c, err := p.certs[name], error(nil)
		if c == nil || p.sealed[name] != text {
			if c, err = p.open(name, text); err != nil {
				bad[name] = err
				c, text = p.certs[name], p.sealed[name]
			}
		}
		if c != nil {
			certs[name], kept[name] = c, text
		}
	}
	p.at, p.certs, p.sealed = v, certs, kept
	return bad
}

func (p *published) open(name, text string) (*tls.Certificate, error) {
	plain, err := p.key.Open(text, name)
	if err != nil {
		return nil, err
	}
	c, err := route.DecodeCertificate(plain)
	if err != nil {
		return nil, err
	}
	return parse([]byte(c.Chain), []byte(c.Key))
}

// saved is the file: sealed as in Redis, so that it holds no key in clear.
type saved struct {
	Version route.Version     `json:"version"`
	Sealed  map[string]string `json:"sealed"`
}

// save writes the file whole or not at all.
func (p *published) save() error {
	if p.file == "" {
		return nil
	}
	b, err := json.Marshal(saved{p.at, p.sealed})
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(p.file), filepath.Base(p.file)+".*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(b)
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), p.file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return nil
}

// restore reads the file, if there is one.
func (p *published) restore() error {
	if p.file == "" || p.key == nil {
		return nil
	}
	b, err := os.ReadFile(p.file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var s saved
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("%s: %w", p.file, err)
	}
	bad := p.take(s.Version, s.Sealed)
	for _, err := range bad {
		p.at = route.Version{} // read all of Redis again
		return fmt.Errorf("%s: %d of %d certificates: %w", p.file, len(bad), len(s.Sealed), err)
	}
	return nil
}
