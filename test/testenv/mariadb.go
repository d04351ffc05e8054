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

// DurableMariaDB is MariaDB for measuring: a server of its own that waits for the disk at each commit, as its defaults
// have it, with memory for a million rows. It ends with the test.
func DurableMariaDB(t testing.TB) string {
	t.Helper()
	db, c, err := launchMariaDB([]string{"--innodb-buffer-pool-size=1G", "--innodb-log-file-size=512M"})
	if err != nil {
		t.Fatalf("mariadb: %v", err)
	}
	t.Cleanup(c.stop)
	if err := db.exec("CREATE DATABASE dinp"); err != nil {
		t.Fatalf("mariadb: %v", err)
	}
	return db.dsn("dinp")
}

// mariaDB is a running server; the tests of a process share one.
type mariaDB struct {
	socket string
	next   atomic.Int64 // numbers the databases
}

var theMariaDB = sync.OnceValues(func() (*mariaDB, error) {
	db, _, err := launchMariaDB(careless)
	return db, err
})

// careless keeps the tests' server small and, because its data never outlives them, spares it every wait for the disk.
var careless = []string{
	"--innodb-buffer-pool-size=64M", "--innodb-log-file-size=32M",
	"--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=OFF", "--innodb-flush-method=nosync",
}

func launchMariaDB(settings []string) (*mariaDB, *child, error) {
	f, err := theFamily()
	if err != nil {
		return nil, nil, err
	}
	dir, err := f.newDir("db")
	if err != nil {
		return nil, nil, err
	}
	me, err := user.Current()
	if err != nil {
		return nil, nil, err
	}
	data := filepath.Join(dir, "data")
	if err := installMariaDB(dir, data, me.Username); err != nil {
		return nil, nil, err
	}
	db := &mariaDB{socket: filepath.Join(dir, "s")}
	c, err := f.start(dir, "mariadbd", append(mariaDBArgs(dir, data, db.socket, me.Username), settings...)...)
	if err != nil {
		return nil, nil, err
	}
	return db, c, c.await(func() error { return dialable("unix", db.socket) })
}

// installMariaDB makes data, with what is temporary in dir: a MariaDB that starts
// removes what it finds in its folder for that, and a shared one has files of others.
func installMariaDB(dir, data, user string) error {
	install, err := program("mariadb-install-db")
	if err != nil {
		return err
	}
	out, err := exec.Command(install, "--no-defaults", "--datadir="+data, "--user="+user, "--tmpdir="+dir,
		"--auth-root-authentication-method=normal", "--skip-test-db").CombinedOutput()
	if err != nil {
		return fmt.Errorf("mariadb-install-db: %w\n%s", err, out)
	}
	return nil
}

func mariaDBArgs(dir, data, socket, user string) []string {
	return []string{
		"--no-defaults", "--user=" + user, "--datadir=" + data, "--socket=" + socket,
		"--pid-file=" + filepath.Join(dir, "pid"), "--tmpdir=" + dir,
		"--skip-networking", "--character-set-server=utf8mb4", "--max-connections=500", "--performance-schema=OFF",
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
