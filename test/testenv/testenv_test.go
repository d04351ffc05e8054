package testenv_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dinp/dinp/test/testenv"
)

func TestMariaDB_GivesEachTestItsOwnDatabase(t *testing.T) {
	first, second := testenv.MariaDB(t), testenv.MariaDB(t)
	if first == second {
		t.Fatalf("both tests got %s", first)
	}
	for _, dsn := range []string{first, second} {
		mariaDBSays(t, dsn, "CREATE TABLE only_here (at DATETIME(6))")
		if got := mariaDBSays(t, dsn, "SHOW TABLES"); got != "only_here" {
			t.Errorf("tables of %s = %q, want only_here", dsn, got)
		}
	}
}

func TestMariaDB_NamesTheDatabaseForTheDriver(t *testing.T) {
	_, query, _ := strings.Cut(testenv.MariaDB(t), "?")
	got, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"parseTime": "true", "loc": "UTC", "time_zone": "'+00:00'", "interpolateParams": "true",
		"rejectReadOnly": "true", "clientFoundRows": "true",
	} {
		if got.Get(key) != want {
			t.Errorf("%s = %q, want %q", key, got.Get(key), want)
		}
	}
}

// mariaDBSays runs a statement with MariaDB's own client, because a driver belongs to package sql alone.
func mariaDBSays(t *testing.T, dsn, statement string) string {
	t.Helper()
	rest, _, _ := strings.Cut(strings.TrimPrefix(dsn, "root@unix("), "?")
	socket, name, _ := strings.Cut(rest, ")/")
	out, err := exec.Command("mariadb", "--no-defaults", "--socket="+socket, "-uroot", "-N", "-e", statement, name).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", statement, err, out)
	}
	return strings.TrimSpace(string(out))
}

func TestRedis_IsEmptyAndStopsWithItsTest(t *testing.T) {
	var addr string
	t.Run("inner", func(t *testing.T) {
		addr = testenv.Redis(t)
		if got := redisSays(t, addr, "DBSIZE"); got != ":0" {
			t.Errorf("DBSIZE = %q, want :0", got)
		}
	})
	if _, err := net.Dial("tcp", addr); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dial after the test: %v, want connection refused", err)
	}
}

func redisSays(t *testing.T, addr, command string) string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "%s\r\n", command)
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

func TestRegistry_ServesTheDistributionAPI(t *testing.T) {
	resp, err := http.Get("http://" + testenv.Registry(t) + "/v2/_catalog")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var catalog struct{ Repositories []string }
	if err := json.NewDecoder(resp.Body).Decode(&catalog); err != nil {
		t.Fatal(err)
	}
	if len(catalog.Repositories) != 0 {
		t.Errorf("a fresh registry holds %v", catalog.Repositories)
	}
}

func TestDocker_Answers(t *testing.T) {
	if host := testenv.Docker(t); !strings.Contains(host, "://") {
		t.Errorf("DOCKER_HOST %q is no address", host)
	}
}

func TestDocker_WithoutEngineNamesTheRemedy(t *testing.T) {
	t.Setenv("DOCKER_HOST", "unix://"+filepath.Join(t.TempDir(), "none.sock"))
	message := fatalOf(t, func(tb testing.TB) { testenv.Docker(tb) })
	if !strings.Contains(message, "make test") {
		t.Errorf("message %q names no remedy", message)
	}
}

func TestBaseImages_MissingNamesTheRemedy(t *testing.T) {
	t.Setenv("DINP_BASE_IMAGES", t.TempDir())
	message := fatalOf(t, func(tb testing.TB) { testenv.BaseImages(tb, "static") })
	if !strings.Contains(message, "make base-images") {
		t.Errorf("message %q names no remedy", message)
	}
}

func TestBaseImages_ReturnsTheConfiguredFolder(t *testing.T) {
	dir := t.TempDir()
	for _, runtime := range []string{"static", "binary"} {
		if err := os.MkdirAll(filepath.Join(dir, runtime), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, runtime, "index.json"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("DINP_BASE_IMAGES", dir)
	if got := testenv.BaseImages(t, "static", "binary"); got != dir {
		t.Errorf("BaseImages = %q, want %q", got, dir)
	}
}

func TestExamples_ArePackedWhereMissing(t *testing.T) {
	dir := testenv.Examples(t)
	for _, name := range []string{"site.tar.gz", "site.zip", "hello.tar.gz", "dockerfile.tar.gz", "tomcat-examples.war", "hello.jar", "javax.war", "node.tar.gz", "python.tar.gz", "php.tar.gz"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEventually_ReturnsOnSuccessAndReportsTheLastError(t *testing.T) {
	calls := 0
	testenv.Eventually(t, time.Minute, func() error {
		if calls++; calls < 3 {
			return errors.New("not yet")
		}
		return nil
	})
	if calls != 3 {
		t.Errorf("asked %d times, want 3", calls)
	}
	message := fatalOf(t, func(tb testing.TB) {
		testenv.Eventually(tb, time.Millisecond, func() error { return errors.New("never will be") })
	})
	if !strings.Contains(message, "never will be") {
		t.Errorf("message %q hides the cause", message)
	}
}

// fatalTB records what a helper says when it gives up, and unwinds it as t.Fatalf would.
type fatalTB struct {
	testing.TB
	message string
}

func (f *fatalTB) Fatalf(format string, args ...any) {
	f.message = fmt.Sprintf(format, args...)
	panic(f)
}

func fatalOf(t *testing.T, helper func(testing.TB)) string {
	t.Helper()
	f := &fatalTB{TB: t}
	func() {
		defer func() {
			if r := recover(); r != nil && r != any(f) {
				panic(r)
			}
		}()
		helper(f)
	}()
	if f.message == "" {
		t.Fatal("the helper did not fail the test")
	}
	return f.message
}

// TestChildren_DieWithAKilledTestProcess runs this test binary again as a victim, kills it while its servers run, and
// sees that servers and scratch folder go.
func TestChildren_DieWithAKilledTestProcess(t *testing.T) {
	tmp := shortTempDir(t)
	victim := exec.Command(os.Args[0], "-test.run=^TestVictim$", "-test.v")
	victim.Env = append(os.Environ(), "TESTENV_VICTIM=1", "TMPDIR="+tmp)
	out, err := victim.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	redis := readAddr(t, out)
	if err := victim.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = victim.Wait() // "signal: killed" is the point
	testenv.Eventually(t, 20*time.Second, func() error {
		if _, err := net.Dial("tcp", redis); err == nil {
			return errors.New("redis still answers")
		}
		left, err := os.ReadDir(tmp)
		if err != nil || len(left) > 0 {
			return fmt.Errorf("scratch left: %v, %v", left, err)
		}
		return nil
	})
}

// TestVictim is the process that the test above kills; in an ordinary run it only proves that it was not asked to.
func TestVictim(t *testing.T) {
	if os.Getenv("TESTENV_VICTIM") == "" {
		return
	}
	testenv.MariaDB(t)
	fmt.Printf("redis at %s\n", testenv.Redis(t))
	select {}
}

func readAddr(t *testing.T, out interface{ Read([]byte) (int, error) }) string {
	t.Helper()
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if addr, ok := strings.CutPrefix(lines.Text(), "redis at "); ok {
			return addr
		}
	}
	t.Fatal("the victim did not start")
	return ""
}

// shortTempDir is t.TempDir with a name short enough for a unix socket.
func shortTempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "tv-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
