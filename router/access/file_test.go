package access

import (
	"io"
	"os"
	"path/filepath"
	"testing"
)

func TestFile_ThatIsMovedAwayIsBegunAnew(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "access.log")
	f := open(t, path)
	write(t, f, "one\n")
	write(t, f, "two\n")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	write(t, f, "three\n")
	holds(t, path+".1", "one\ntwo\n")
	holds(t, path, "three\n")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	write(t, f, "four\n")
	holds(t, path, "four\n")
}

func TestFile_ThatCannotBeBegunAnewLosesNoLine(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "log")
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	f := open(t, filepath.Join(folder, "access.log"))
	write(t, f, "one\n")
	if err := os.Rename(folder, folder+".away"); err != nil {
		t.Fatal(err)
	}
	write(t, f, "two\n")
	holds(t, filepath.Join(folder+".away", "access.log"), "one\ntwo\n")
}

// open returns a File that looks where it is before each write.
func open(t *testing.T, path string) *File {
	t.Helper()
	f, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f.every = 0
	t.Cleanup(func() { f.Close() })
	return f
}

func write(t *testing.T, f *File, line string) {
	t.Helper()
	if _, err := io.WriteString(f, line); err != nil {
		t.Fatal(err)
	}
}

func holds(t *testing.T, path, want string) {
	t.Helper()
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("%s holds %q, %v; want %q", filepath.Base(path), got, err, want)
	}
}
