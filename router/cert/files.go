package cert

import (
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"time"
)

// files are the certificates on disk.
type files struct {
	list  []File
	seen  []time.Time // modification of key and chain, the later one
	certs map[string]*tls.Certificate
}

// load reads what changed. After an error the certificates stay as they were.
func (f *files) load() (changed bool, err error) {
	seen := make([]time.Time, len(f.list))
	for i, file := range f.list {
		if seen[i], err = modified(file); err != nil {
			return false, err
		}
		changed = changed || f.seen == nil || !seen[i].Equal(f.seen[i])
	}
	if !changed {
		return false, nil
	}
	certs := map[string]*tls.Certificate{}
	for _, file := range f.list {
		if err := file.into(certs); err != nil {
			return false, err
		}
	}
	f.seen, f.certs = seen, certs
	return true, nil
}

func modified(f File) (time.Time, error) {
	chain, err := os.Stat(f.Chain)
	key, errKey := os.Stat(f.Key)
	if err := errors.Join(err, errKey); err != nil {
		return time.Time{}, err
	}
	if key.ModTime().After(chain.ModTime()) {
		return key.ModTime(), nil
	}
	return chain.ModTime(), nil
}

func (f File) read() (*tls.Certificate, error) {
	chain, err := os.ReadFile(f.Chain)
	if err != nil {
		return nil, err
	}
	key, err := os.ReadFile(f.Key)
	if err != nil {
		return nil, err
	}
	c, err := parse(chain, key)
	if err != nil {
		return nil, fmt.Errorf("certificate %s: %w", f.Chain, err)
	}
	return c, nil
}

// into reads a certificate and enters it under each of its names.
func (f File) into(certs map[string]*tls.Certificate) error {
	c, err := f.read()
	if err != nil {
		return err
	}
	for _, n := range names(c.Leaf) {
		certs[n] = c
	}
	return nil
}
