package browser_test

import (
	"archive/zip"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/dinp/dinp/test/browser"
	"github.com/dinp/dinp/test/stage"
)

func zipped(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := zip.NewWriter(out)
	f, err := w.Create("index.html")
	if err == nil {
		_, err = io.WriteString(f, text)
	}
	if err != nil || w.Close() != nil || out.Close() != nil {
		t.Fatal("zip not made: ", err)
	}
	return path
}

// The same journey on a played platform: it tells a fault of the pages from one of
// the parts behind them.
func TestJourney_OnAStage(t *testing.T) {
	t.Parallel()
	s := stage.Open(t)
	browser.Journey(t, s.URL, s.User, s.Password, zipped(t, "my-site-1.0.zip", "one"), zipped(t, "my-site-1.1.zip", "two"))
}
