package store

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/test/testenv"
)

var (
	admin = model.Actor{UserID: "u1", Name: "admin", Role: model.Admin, From: "10.0.0.9"}
	t0    = time.Date(2026, 11, 21, 9, 30, 0, 0, time.UTC)
)

const anImage = "dinp/apps/shop@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// eachStore runs f against an empty embedded database and an empty MariaDB: one
// set of SQL has to mean the same in both.
func eachStore(t *testing.T, f func(t *testing.T, s *Store)) {
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		f(t, open(t, "sqlite:"+filepath.Join(t.TempDir(), "dinp.db")))
	})
	t.Run("mariadb", func(t *testing.T) {
		t.Parallel()
		f(t, open(t, "mysql:"+testenv.MariaDB(t)))
	})
}

func open(t *testing.T, url string) *Store {
	t.Helper()
	s, err := Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantCode(t testing.TB, err error, code model.Code) {
	t.Helper()
	if !model.IsCode(err, code) {
		t.Errorf("got %v, want code %s", err, code)
	}
}

func newApp(t testing.TB, s *Store, name string) model.App {
	t.Helper()
	a, err := s.CreateApp(t.Context(), name, "team1", admin)
	check(t, err)
	return a
}

// newRelease makes a release whose memory tells it apart.
func newRelease(ctx context.Context, s *Store, appID string, memory int64) (model.Release, model.App, error) {
	return s.CreateRelease(ctx, NewRelease{AppID: appID, Cause: model.CauseDeploy, Spec: func(base model.Release) (model.Spec, error) {
		spec := base.Spec
		spec.Image, spec.MemoryMiB = anImage, memory
		return spec, nil
	}}, admin)
}

// together runs f n times at once and returns the errors, by index.
func together(n int, f func(i int) error) []error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			errs[i] = f(i)
		})
	}
	close(start)
	wg.Wait()
	return errs
}

func TestOpen_Refusals(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"", "dinp.db", "postgres:host=x"} {
		if _, err := Open(t.Context(), url); !model.IsCode(err, model.CodeBadConfig) {
			t.Errorf("%q: got %v, want code %s", url, err, model.CodeBadConfig)
		}
	}
	if _, err := Open(t.Context(), "mysql:admin:hunter2@tcp(127.0.0.1:1"); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a DSN that cannot be read gave %v", err)
	}
	if _, err := Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "no", "such", "folder", "dinp.db")); err == nil {
		t.Error("a database in a folder that does not exist was opened")
	}
}

func TestOpen_PathsWithOddCharacters(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"a?b.db", "a#b.db", "50%25.db", "mit leer.db"} {
		path := filepath.Join(t.TempDir(), name)
		s := open(t, "sqlite:"+path)
		newApp(t, s, "shop")
		if found, err := filepath.Glob(filepath.Dir(path) + "/*.db"); err != nil || len(found) != 1 || found[0] != path {
			t.Errorf("%q: the files are %q, %v", name, found, err)
		}
	}
}

func TestOpen_KeepsWhatIsThere(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]string{"sqlite": "sqlite:" + filepath.Join(t.TempDir(), "dinp.db"), "mariadb": "mysql:" + testenv.MariaDB(t)} {
		first := open(t, url)
		a := newApp(t, first, "shop")
		second := open(t, url)
		if got, err := second.App(t.Context(), "shop"); err != nil || got.ID != a.ID {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
	}
}

func TestOpen_TwoAtOnceOnAnEmptyMariaDB(t *testing.T) {
	t.Parallel()
	url := "mysql:" + testenv.MariaDB(t)
	stores := make([]*Store, 4)
	for i, err := range together(len(stores), func(i int) (err error) {
		stores[i], err = Open(t.Context(), url)
		return err
	}) {
		if err != nil {
			t.Errorf("open %d: %v", i, err)
			continue
		}
		t.Cleanup(func() { stores[i].Close() })
	}
	newApp(t, stores[0], "shop")
}

func TestBackup(t *testing.T) {
	t.Parallel()
	s := open(t, "sqlite:"+filepath.Join(t.TempDir(), "dinp.db"))
	newApp(t, s, "shop")
	to := filepath.Join(t.TempDir(), "copy.db")
	check(t, s.Backup(t.Context(), to))
	if _, err := open(t, "sqlite:"+to).App(t.Context(), "shop"); err != nil {
		t.Error(err)
	}
	wantCode(t, open(t, "mysql:"+testenv.MariaDB(t)).Backup(t.Context(), to), model.CodeBadRequest)
}

func TestNextID_GrowsAndIsUnique(t *testing.T) {
	t.Parallel()
	s := &Store{}
	seen := map[int64]bool{}
	last := int64(0)
	for i := range 10_000 {
		id := s.nextID(t0.Add(-time.Duration(i) * time.Second)) // a clock that runs backwards
		if id <= last || seen[id] {
			t.Fatalf("id %d after %d", id, last)
		}
		seen[id], last = true, id
	}
	if d := time.UnixMicro(s.nextID(t0.Add(time.Hour)) >> 10); d.Before(t0) {
		t.Errorf("an id of %v says %v", t0.Add(time.Hour), d)
	}
}

func TestPing(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) { check(t, s.Ping(t.Context())) })
}

func ids[T any](items []T, id func(T) string) string {
	var out []string
	for _, v := range items {
		out = append(out, id(v))
	}
	return fmt.Sprint(out)
}
