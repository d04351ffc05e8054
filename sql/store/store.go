// Package store is the only place that knows the database. Exported methods are
// whole transactions; what people do is recorded as an event in the same one.
// One set of SQL serves MySQL, MariaDB and SQLite; the tests run against both.
//
// Concurrent edits are settled by compare-and-swap (a generation, a lease's
// epoch, a claim) and rows affected, never by reading first and hoping.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-sql-driver/mysql" // registers the mysql driver, too
	"github.com/google/uuid"
	_ "modernc.org/sqlite" // registers the sqlite driver

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/sql/migrations"
)

// Store is an open database. It is safe for concurrent use.
type Store struct {
	db      *sql.DB
	isMySQL bool
	lastID  atomic.Int64 // see nextID
	beats   beats        // of the lease, while this process holds it
}

// Sentinel errors for branching.
var (
	ErrLost = errors.New("the lease or claim is not ours any more")
)

// Open connects to the database that url names and brings its schema up to
// date. url is "sqlite:PATH" or "mysql:DSN", the DSN in the form of
// go-sql-driver; the parameters that correctness needs are added to it.
func Open(ctx context.Context, url string) (*Store, error) {
	scheme, rest, ok := strings.Cut(url, ":")
	if !ok {
		return nil, model.E(model.CodeBadConfig, "database url needs a scheme").WithNext("use sqlite:PATH or mysql:USER:PASSWORD@tcp(HOST:3306)/dinp")
	}
	var db *sql.DB
	var err error
	switch scheme {
	case "sqlite":
		db, err = openSQLite(rest)
	case "mysql":
		db, err = openMySQL(rest)
	default:
		return nil, model.E(model.CodeBadConfig, "database scheme %q is not known", scheme).WithNext("use sqlite:PATH or mysql:USER:PASSWORD@tcp(HOST:3306)/dinp")
	}
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	s := &Store{db: db, isMySQL: scheme == "mysql"}
	if err := migrations.Apply(ctx, db, s.isMySQL); err != nil {
		db.Close()
		return nil, err
	}
	return s, nil
}

func openSQLite(path string) (*sql.DB, error) {
	q := "?_txlock=immediate&_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)"
	db, err := sql.Open("sqlite", "file:"+strings.NewReplacer("?", "%3f", "#", "%23", "%", "%25").Replace(path)+q)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(8)
	return db, nil
}

func openMySQL(dsn string) (*sql.DB, error) {
	c, err := mysql.ParseDSN(dsn)
	if err != nil {
		return nil, errors.New("the mysql DSN cannot be read") // the driver's text may quote the password
	}
	c.ParseTime, c.Loc, c.InterpolateParams, c.RejectReadOnly, c.ClientFoundRows = true, time.UTC, true, true, true
	if c.Params == nil {
		c.Params = map[string]string{}
	}
	c.Params["time_zone"] = "'+00:00'"
	if c.Timeout == 0 {
		c.Timeout = 5 * time.Second
	}
	if c.ReadTimeout == 0 {
		c.ReadTimeout, c.WriteTimeout = 30*time.Second, 30*time.Second
	}
	conn, err := mysql.NewConnector(c)
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(conn)
	db.SetMaxOpenConns(32)
	db.SetMaxIdleConns(8)
	db.SetConnMaxLifetime(5 * time.Minute)
	return db, nil
}

// Close closes the database.
func (s *Store) Close() error { return s.db.Close() }

// Ping reports whether the database answers.
func (s *Store) Ping(ctx context.Context) error { return s.db.PingContext(ctx) }

// Backup writes a consistent copy of an embedded database to path.
func (s *Store) Backup(ctx context.Context, path string) error {
	if s.isMySQL {
		return model.E(model.CodeBadRequest, "only the embedded database is copied by dinp").WithNext("use mysqldump --single-transaction")
	}
	_, err := s.db.ExecContext(ctx, `VACUUM INTO ?`, path)
	return err
}

// querier is what *sql.DB and *sql.Tx have in common.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// tx is one transaction with its time fixed at its beginning.
type tx struct {
	*sql.Tx
	now time.Time
	s   *Store
}

const txTries = 8

// tx runs f in a transaction, again when the database says that two collided.
func (s *Store) tx(ctx context.Context, f func(*tx) error) error {
	return s.txAt(ctx, sql.LevelReadCommitted, f)
}

// view runs f in a transaction that sees the database at one moment.
func (s *Store) view(ctx context.Context, f func(*tx) error) error {
	return s.txAt(ctx, sql.LevelRepeatableRead, f)
}

func (s *Store) txAt(ctx context.Context, level sql.IsolationLevel, f func(*tx) error) error {
	if !s.isMySQL {
		level = sql.LevelDefault // SQLite's transactions are serialisable
	}
	for try := 1; ; try++ {
		err := s.tryTx(ctx, level, f)
		if err == nil || !isCollision(err) || try == txTries || ctx.Err() != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(time.Duration(try*try) * 2 * time.Millisecond):
		}
	}
}

func (s *Store) tryTx(ctx context.Context, level sql.IsolationLevel, f func(*tx) error) error {
	t, err := s.db.BeginTx(ctx, &sql.TxOptions{Isolation: level})
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer t.Rollback()
	if err := f(&tx{Tx: t, now: time.Now().UTC(), s: s}); err != nil {
		return err
	}
	if err := t.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// scanner is what *sql.Row and *sql.Rows have in common.
type scanner interface{ Scan(dest ...any) error }

// list runs a query and scans all of it. A result that was cut off on its way
// is an error, never a shorter list: acting on half of the desired state would
// stop what is missing from it.
func list[T any](ctx context.Context, q querier, scan func(scanner) (T, error), query string, args ...any) ([]T, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	return out, nil
}

// exec runs a statement and returns how many rows it affected.
func exec(ctx context.Context, q querier, query string, args ...any) (int64, error) {
	r, err := q.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// NewID returns a new random UUID in text form.
func NewID() string { return uuid.NewString() }

// nextID returns a number that grows with time and is unique within this
// process; ten low bits keep processes apart as well as a clock can.
func (s *Store) nextID(now time.Time) int64 {
	for {
		last := s.lastID.Load()
		id := max(last+1, now.UnixMicro()<<10|int64(uuid.New().ID()&1023))
		if s.lastID.CompareAndSwap(last, id) {
			return id
		}
	}
}

func ms(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMS(v int64) time.Time {
	if v == 0 {
		return time.Time{}
	}
	return time.UnixMilli(v).UTC()
}

// args flattens a list for an IN clause; holders returns its question marks.
func args[T any](in []T) []any {
	out := make([]any, len(in))
	for i, v := range in {
		out[i] = v
	}
	return out
}

func holders(n int) string { return strings.TrimSuffix(strings.Repeat("?,", n), ",") }
