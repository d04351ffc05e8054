package migrations_test

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql" // the drivers under test
	_ "modernc.org/sqlite"

	"github.com/dinp/dinp/sql/migrations"
	"github.com/dinp/dinp/test/testenv"
)

// steps counts the steps that a database has taken.
func steps(t *testing.T, db *sql.DB) int {
	t.Helper()
	var n int
	if err := db.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM goose_db_version WHERE version_id > 0`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestApply_TwiceIsOnce(t *testing.T) {
	t.Parallel()
	for driver, dsn := range map[string]string{"sqlite": filepath.Join(t.TempDir(), "dinp.db"), "mysql": testenv.MariaDB(t)} {
		db := connect(t, driver, dsn)
		for range 2 {
			if err := migrations.Apply(t.Context(), db, driver == "mysql"); err != nil {
				t.Fatalf("%s: %v", driver, err)
			}
		}
		files, err := filepath.Glob("*.sql")
		if n := steps(t, db); err != nil || n != len(files) {
			t.Errorf("%s: %d steps of %d files, %v", driver, n, len(files), err)
		}
	}
}

func connect(t *testing.T, driver, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func TestApply_ManyAtOnce(t *testing.T) {
	t.Parallel()
	dsn := testenv.MariaDB(t)
	var wg sync.WaitGroup
	for range 5 {
		db := connect(t, "mysql", dsn)
		wg.Go(func() {
			if err := migrations.Apply(t.Context(), db, true); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// A process that finds the table of versions made but empty, because another is
// just making it, waits instead of taking it for broken.
func TestApply_LooksAtNothingBeforeItsTurn(t *testing.T) {
	t.Parallel()
	dsn := testenv.MariaDB(t)
	db := connect(t, "mysql", dsn)
	first, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	run := func(query string) {
		t.Helper()
		if _, err := first.ExecContext(t.Context(), query); err != nil {
			t.Fatal(err)
		}
	}
	run(`SELECT GET_LOCK(CONCAT('dinp.', LEFT(DATABASE(), 50)), 1)`)
	run(`CREATE TABLE goose_db_version (id SERIAL, version_id BIGINT NOT NULL, is_applied BOOLEAN NOT NULL, tstamp TIMESTAMP DEFAULT NOW())`)

	applied := make(chan error, 1)
	go func() { applied <- migrations.Apply(t.Context(), db, true) }()
	testenv.Eventually(t, 20*time.Second, func() error {
		var waiting int
		err := first.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM information_schema.processlist
			WHERE db = DATABASE() AND state = 'User lock'`).Scan(&waiting)
		if err == nil && waiting != 1 {
			err = fmt.Errorf("%d processes wait for the lock, want 1", waiting)
		}
		return err
	})
	run(`DROP TABLE goose_db_version`)
	run(`SELECT RELEASE_LOCK(CONCAT('dinp.', LEFT(DATABASE(), 50)))`)
	if err := <-applied; err != nil {
		t.Error(err)
	}
}

func TestApply_NewTablesCompareBytes(t *testing.T) {
	t.Parallel()
	db := connect(t, "mysql", testenv.MariaDB(t))
	if err := migrations.Apply(t.Context(), db, true); err != nil {
		t.Fatal(err)
	}
	var other int
	if err := db.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = DATABASE()
		AND table_name <> 'goose_db_version' AND collation_name IS NOT NULL AND collation_name NOT IN ('utf8mb4_nopad_bin', 'utf8mb4_0900_bin')`).Scan(&other); err != nil || other != 0 {
		t.Errorf("%d columns compare in another way, %v", other, err)
	}
}

func TestApply_EndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := migrations.Apply(ctx, connect(t, "mysql", testenv.MariaDB(t)), true); err == nil {
		t.Error("applied although its context had ended")
	}
}

// MySQL cannot take a half-done step back, so each is one statement.
func TestFiles_AreOneStatementEach(t *testing.T) {
	t.Parallel()
	statement := regexp.MustCompile(`(?m)^(CREATE|ALTER|DROP|INSERT|UPDATE|DELETE)\b`)
	files, err := fs.Glob(os.DirFS("."), "*.sql")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	last := ""
	for _, f := range files {
		b, err := fs.ReadFile(os.DirFS("."), f)
		if n := len(statement.FindAll(b, -1)); err != nil || n != 1 {
			t.Errorf("%s holds %d statements, %v", f, n, err)
		}
		// Numbers may leave gaps, as work beside each other does, and never come twice.
		if f[:5] <= last {
			t.Errorf("%s has the number of another file", f)
		}
		last = f[:5]
	}
}
