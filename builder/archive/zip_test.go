package archive

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dinp/dinp/common/model"
)

// Files of a zip are filled side by side; each must end with its own content, sum and size.
func TestExtract_FilesOfAZipAreNotMixedUp(t *testing.T) {
	t.Parallel()
	var files []zip.FileHeader
	content := map[string]string{}
	for i := range 300 {
		name := fmt.Sprintf("d%d/f%d", i%7, i)
		content[name] = strings.Repeat(fmt.Sprint(i, " "), 1+i*37%5000)
		files = append(files, zfile(name, content[name]))
	}
	c, dir, err := unpack(t, zipOf(t, files...), "a.zip", DefaultLimits())
	must(t, err)
	seen, total := 0, int64(0)
	for _, f := range c.Files {
		if f.Dir {
			continue
		}
		seen++
		total += f.Size
		want := content[f.Path]
		got, err := os.ReadFile(filepath.Join(dir, f.Path))
		must(t, err)
		if string(got) != want || f.Size != int64(len(want)) || f.SHA256 != sha256.Sum256([]byte(want)) {
			t.Errorf("%s has %d bytes and the sum %x, want %d", f.Path, f.Size, f.SHA256[:4], len(want))
		}
	}
	if seen != len(content) || c.Count != seen || c.Bytes != total {
		t.Errorf("%d files, count %d, %d bytes; want %d files, %d bytes", seen, c.Count, c.Bytes, len(content), total)
	}
}

// What is wrong first is told, however late it is found.
func TestExtract_ADamagedFileIsToldBeforeAHostileNameBehindIt(t *testing.T) {
	t.Parallel()
	b := zipOf(t, zfile("a", strings.Repeat("content ", 100_000)), zfile("../b", "x"))
	first := bytes.Index(b, []byte("PK\x01\x02"))
	binary.LittleEndian.PutUint32(b[first+16:], 42) // its checksum
	_, _, err := unpack(t, b, "a.zip", DefaultLimits())
	wantRefusal(t, err, model.CodeBadArtifact, "entry 1 of the zip is damaged")
}
