package testenv

import (
	"fmt"
	"net/url"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// MariaDB returns the data source name (go-sql-driver form) of a fresh, empty database on a private MariaDB. The server
// is shared by the tests of one process, the database by nobody; it is dropped when the test ends.
func MariaDB(t testing.TB) string {
	t.Helper()
	db, err := theMariaDB()
	if err != nil {
		t.Fatalf("mariadb: %v", err)
	}
	name := fmt.Sprintf("t%d", db.next.Add(1))
	if err := db.exec("CREATE DATABASE " + name); err != nil {
		t.Fatalf("mariadb: %v", err)
	}
	t.Cleanup(func() {
		if err := db.exec("DROP DATABASE IF EXISTS " + name); err != nil {
			t.Errorf("mariadb: %v", err)
		}
	})
	return db.dsn(name)
}

// mariaDB is the one server of this test process.
type mariaDB struct {
	socket string
	next   atomic.Int64 // numbers the databases
}

var theMariaDB = sync.OnceValues(startMariaDB)

func startMariaDB() (*mariaDB, error) {
	f, err := theFamily()
	if err != nil {
		return nil, err
	}
	dir, err := f.newDir("db")
	if err != nil {
		return nil, err
	}
	me, err := user.Current()
	if err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "data")
	if err := installMariaDB(data, me.Username); err != nil {
		return nil, err
	}
	db := &mariaDB{socket: filepath.Join(dir, "s")}
	c, err := f.start(dir, "mariadbd", mariaDBArgs(dir, data, db.socket, me.Username)...)
	if err != nil {
		return nil, err
	}
	return db, c.await(func() error { return dialable("unix", db.socket) })
}

func installMariaDB(data, user string) error {
	install, err := program("mariadb-install-db")
	if err != nil {
		return err
	}
	out, err := exec.Command(install, "--no-defaults", "--datadir="+data, "--user="+user,
		"--auth-root-authentication-method=normal", "--skip-test-db").CombinedOutput()
	if err != nil {
		return fmt.Errorf("mariadb-install-db: %w\n%s", err, out)
	}
	return nil
}

// mariaDBArgs keeps the server small and, because its data never outlives the tests, spares it every wait for the disk.
func mariaDBArgs(dir, data, socket, user string) []string {
	return []string{
		"--no-defaults", "--user=" + user, "--datadir=" + data, "--socket=" + socket,
		"--pid-file=" + filepath.Join(dir, "pid"), "--tmpdir=" + dir,
		"--skip-networking", "--character-set-server=utf8mb4", "--max-connections=500",
		"--innodb-buffer-pool-size=64M", "--innodb-log-file-size=32M", "--performance-schema=OFF",
		"--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=OFF", "--innodb-flush-method=nosync",
	}
}

// exec runs one statement through MariaDB's own client: only sql may import a database driver.
func (db *mariaDB) exec(statement string) error {
	client, err := program("mariadb")
	if err != nil {
		return err
	}
	out, err := exec.Command(client, "--no-defaults", "--socket="+db.socket, "--user=root", "-e", statement).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", statement, err, out)
	}
	return nil
}

// dsn names a database the way production does, so that tests meet the same driver behaviour.
func (db *mariaDB) dsn(name string) string {
	params := []string{
		"parseTime=true", "loc=UTC", "time_zone=" + url.QueryEscape("'+00:00'"), "interpolateParams=true",
		"rejectReadOnly=true", "clientFoundRows=true", "timeout=10s", "readTimeout=30s", "writeTimeout=30s",
	}
	return fmt.Sprintf("root@unix(%s)/%s?%s", db.socket, name, strings.Join(params, "&"))
}
