package testenv

import (
	"os"
	"os/user"
	"path/filepath"
	"testing"
)

// A MariaDB that starts removes what earlier ones have left in its folder for
// temporary files, and by the same names that of others that run.
func TestMariaDB_ThatIsMadeLeavesTheTemporaryFilesOfOthersAlone(t *testing.T) {
	shared := t.TempDir()
	t.Setenv("TMPDIR", shared)
	others := filepath.Join(shared, "#sql-temptable-1-1-1.MAI")
	if err := os.WriteFile(others, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := installMariaDB(dir, filepath.Join(dir, "data"), me.Username); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(others); err != nil {
		t.Error(err)
	}
}
