// Package migrations holds the database's schema as numbered, forward-only
// steps. Each file is one DDL statement: MySQL cannot roll DDL back, so a step
// either happened or did not. All of them are valid in MySQL 8, MariaDB 10.6
// and SQLite 3: times are unix milliseconds (0: never), booleans are 0 and 1,
// identifiers are made in Go.
package migrations

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"strings"

	"github.com/pressly/goose/v3"
)

//go:embed *.sql
var files embed.FS

// Apply brings the schema up to date. Several processes may call it at once:
// on MySQL they take turns by a named lock, with SQLite there is one process.
func Apply(ctx context.Context, db *sql.DB, mysql bool) error {
	if !mysql {
		return up(ctx, db, goose.DialectSQLite3)
	}
	return locked(ctx, db, func() error {
		if err := binaryCollation(ctx, db); err != nil {
			return err
		}
		return up(ctx, db, goose.DialectMySQL)
	})
}

func up(ctx context.Context, db *sql.DB, dialect goose.Dialect) error {
	p, err := goose.NewProvider(dialect, db, files, goose.WithVerbose(false), goose.WithAllowOutofOrder(true))
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrate database: %w", err)
	}
	return nil
}

// binaryCollation makes new tables compare names byte by byte, as SQLite and Go
// do: with the default one "Shop" and "shop" would be the same key, and with
// utf8mb4_bin, which ignores spaces at the end, "shop" and "shop ".
func binaryCollation(ctx context.Context, db *sql.DB) error {
	var name, version string
	if err := db.QueryRowContext(ctx, `SELECT DATABASE(), VERSION()`).Scan(&name, &version); err != nil {
		return fmt.Errorf("name of the database: %w", err)
	}
	collation := "utf8mb4_0900_bin" // MySQL 8
	if strings.Contains(version, "MariaDB") {
		collation = "utf8mb4_nopad_bin"
	}
	if _, err := db.ExecContext(ctx, "ALTER DATABASE `"+name+"` CHARACTER SET utf8mb4 COLLATE "+collation); err != nil {
		return fmt.Errorf("set collation of database %s: %w", name, err)
	}
	return nil
}

const (
	lockName = `CONCAT('dinp.', LEFT(DATABASE(), 50))`
	lockWait = 60 // seconds
)

// locked lets one process at a time migrate a MySQL database. GET_LOCK is good
// enough here: a migration is short, and its holder's death frees it. It is not
// goose's own session lock, because goose looks for pending steps, and makes its
// table of versions for that, before it asks for the lock.
func locked(ctx context.Context, db *sql.DB, migrate func() error) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("lock for migration: %w", err)
	}
	defer conn.Close()
	var got sql.NullInt64
	if err := conn.QueryRowContext(ctx, `SELECT GET_LOCK(`+lockName+`, ?)`, lockWait).Scan(&got); err != nil {
		return fmt.Errorf("lock for migration: %w", err)
	}
	if got.Int64 != 1 {
		return fmt.Errorf("lock for migration: held by another process for %d s", lockWait)
	}
	err = migrate()
	if _, e := conn.ExecContext(context.WithoutCancel(ctx), `SELECT RELEASE_LOCK(`+lockName+`)`); e != nil && err == nil {
		err = fmt.Errorf("unlock after migration: %w", e)
	}
	return err
}
