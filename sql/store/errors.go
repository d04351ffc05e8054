package store

import (
	"errors"

	"github.com/go-sql-driver/mysql"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// isDuplicate reports whether err says that a unique key exists already.
func isDuplicate(err error) bool {
	var m *mysql.MySQLError
	if errors.As(err, &m) {
		return m.Number == 1062
	}
	var l *sqlite.Error
	return errors.As(err, &l) && (l.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE || l.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY)
}

// isCollision reports whether err says that two transactions were in each
// other's way: MySQL's deadlock and lock wait timeout, SQLite's busy.
func isCollision(err error) bool {
	var m *mysql.MySQLError
	if errors.As(err, &m) {
		return m.Number == 1213 || m.Number == 1205
	}
	var l *sqlite.Error
	return errors.As(err, &l) && (l.Code()&0xff == sqlite3.SQLITE_BUSY || l.Code()&0xff == sqlite3.SQLITE_LOCKED)
}
