// Package storetest gives tests an embedded database that has its tables already: making those takes dozens of
// transactions, far more than most tests do with them. That an empty file gets its tables is tested in store and
// migrations.
package storetest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/dinp/dinp/sql/store"
)

// SQLite returns the URL of a new database without rows, for store.Open. It is gone with the test.
func SQLite(t testing.TB) string {
	t.Helper()
	first.Do(func() { migrated, failed = migrate(context.WithoutCancel(t.Context())) }) // for the tests after this one, too
	if failed != nil {
		t.Fatal("embedded database: ", failed)
	}
	path := filepath.Join(t.TempDir(), "dinp.db")
	if err := os.WriteFile(path, migrated, 0o600); err != nil {
		t.Fatal(err)
	}
	return "sqlite:" + path
}

// migrated is the file of a database with all tables, made once in a test process.
var (
	first    sync.Once
	migrated []byte
	failed   error
)

func migrate(ctx context.Context) ([]byte, error) {
	dir, err := os.MkdirTemp("", "dinp-storetest-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "dinp.db")
	s, err := store.Open(ctx, "sqlite:"+path)
	if err != nil {
		return nil, err
	}
	if err := s.Close(); err != nil {
		return nil, err
	}
	if _, err := os.Stat(path + "-wal"); err == nil {
		return nil, fmt.Errorf("%s has changes that are not in the file itself", path)
	}
	return os.ReadFile(path)
}
