package archive

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/dinp/dinp/common/model"
)

func TestExtract_HostileTar(t *testing.T) {
	t.Parallel()
	ok := file("ok", "fine")
	long := strings.Repeat("n", 10_000)
	for _, c := range []struct {
		name    string
		entries []tar.Header
		code    model.Code
		part    string
	}{
		{"traversal", []tar.Header{ok, file("../evil", "x")}, model.CodeHostile, `tries to leave its folder`},
		{"traversal inside", []tar.Header{file("a/../../evil", "x")}, model.CodeHostile, `tries to leave`},
		{"absolute", []tar.Header{file("/etc/passwd", "x")}, model.CodeHostile, "is absolute"},
		{"symlink up", []tar.Header{symlink("l", "../../etc")}, model.CodeHostile, "outside the archive"},
		{"symlink absolute", []tar.Header{symlink("l", "/etc/passwd")}, model.CodeHostile, "an absolute path"},
		{"symlink empty", []tar.Header{symlink("l", "")}, model.CodeHostile, "not a usable path"},
		{"write through a symlink", []tar.Header{symlink("l", "sub"), file("l/evil", "x")}, model.CodeHostile, "twice"},
		{"symlinks that escape together", []tar.Header{file("a/b/f", "x"), symlink("a/b/up", "../.."), symlink("evil", "a/b/up/../etc")},
			model.CodeHostile, "by way of other links"},
		{"symlinks in a ring", []tar.Header{symlink("a", "b"), symlink("b", "a")}, model.CodeHostile, "loops"},
		{"hard link absolute", []tar.Header{hardlink("l", "/etc/passwd")}, model.CodeHostile, "is absolute"},
		{"hard link up", []tar.Header{hardlink("l", "../../etc/passwd")}, model.CodeHostile, "tries to leave"},
		{"hard link to nothing", []tar.Header{hardlink("l", "none")}, model.CodeBadArtifact, "no file earlier"},
		{"hard link to a symlink", []tar.Header{ok, symlink("s", "ok"), hardlink("l", "s")}, model.CodeBadArtifact, "no file earlier"},
		{"character device", []tar.Header{{Name: "null", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3}}, model.CodeHostile, "a character device"},
		{"block device", []tar.Header{{Name: "sda", Typeflag: tar.TypeBlock}}, model.CodeHostile, "a block device"},
		{"fifo", []tar.Header{{Name: "pipe", Typeflag: tar.TypeFifo}}, model.CodeHostile, "a named pipe"},
		{"unknown type", []tar.Header{{Name: "odd", Typeflag: 'Z'}}, model.CodeHostile, "only files, folders and links"},
		{"twice", []tar.Header{ok, ok}, model.CodeHostile, `"ok" is in the archive twice`},
		{"file then folder", []tar.Header{ok, file("ok/deeper", "x")}, model.CodeHostile, "twice"},
		{"folder then file", []tar.Header{file("d/f", "x"), file("d", "x")}, model.CodeHostile, "twice"},
		{"long name", []tar.Header{file(long, "x")}, model.CodeTooLarge, "(10000 bytes) is longer than the 1024"},
		{"GNU header with a long name that leaves", []tar.Header{gnu(file("../"+long, "x"))}, model.CodeTooLarge, "(10003 bytes)"},
		{"GNU header with a name that leaves", []tar.Header{gnu(file("../"+strings.Repeat("n/", 60)+"f", "x"))}, model.CodeHostile, "tries to leave"},
		{"GNU header with a link that leaves", []tar.Header{gnu(symlink("l", strings.Repeat("../", 60)+"etc"))}, model.CodeHostile, "outside the archive"},
		{"long part", []tar.Header{file(strings.Repeat("n", 300), "x")}, model.CodeTooLarge, "300 bytes"},
		{"deep", []tar.Header{file(strings.Repeat("d/", 200)+"f", "x")}, model.CodeTooLarge, "200 folders deep"},
		{"not UTF-8", []tar.Header{file("caf\xe9", "x")}, model.CodeHostile, "not UTF-8"},
		{"sparse", []tar.Header{{Name: "s", PAXRecords: map[string]string{"GNU.sparse.size": "1"}}}, model.CodeBadArtifact, "sparse"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var b []byte
			if c.name == "sparse" {
				b = paxTar(t, "GNU.sparse.major", "0", "GNU.sparse.size", "99999999999", "GNU.sparse.name", "s", "GNU.sparse.map", "0,0")
			} else {
				b = tarOf(t, c.entries...)
			}
			_, _, err := unpack(t, gz(t, b), "a.tar.gz", DefaultLimits())
			wantRefusal(t, err, c.code, c.part)
		})
	}
}

// gnu is a header whose long names stand in entries of GNU's own before it.
func gnu(h tar.Header) tar.Header {
	h.Format = tar.FormatGNU
	return h
}

// A PAX record says anew what a header says: name, link, size. It meets the same rules.
func TestExtract_PAXRecordsAreNoWayRound(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		records []string
		code    model.Code
		part    string
	}{
		"a path that leaves":        {[]string{"path", "../evil"}, model.CodeHostile, "tries to leave"},
		"an absolute path":          {[]string{"path", "/etc/passwd"}, model.CodeHostile, "is absolute"},
		"a long path":               {[]string{"path", strings.Repeat("n", 10_000)}, model.CodeTooLarge, "(10000 bytes)"},
		"a path that is not UTF-8":  {[]string{"path", "caf\xe9"}, model.CodeHostile, "not UTF-8"},
		"more bytes than there are": {[]string{"size", "9999999999"}, model.CodeBadArtifact, "cut off"},
		"fewer bytes than none":     {[]string{"size", "-1"}, model.CodeBadArtifact, "damaged"},
		"the name of another":       {[]string{"path", "x/../../y"}, model.CodeHostile, "tries to leave"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := unpack(t, gz(t, paxTar(t, c.records...)), "a.tar.gz", DefaultLimits())
			wantRefusal(t, err, c.code, c.part)
		})
	}
}

// paxTar writes records that archive/tar refuses to write.
func paxTar(t testing.TB, kv ...string) []byte {
	t.Helper()
	var records bytes.Buffer
	for i := 0; i < len(kv); i += 2 {
		rest := fmt.Sprintf(" %s=%s\n", kv[i], kv[i+1])
		n := len(rest) + 1
		for len(fmt.Sprint(n))+len(rest) != n {
			n++
		}
		fmt.Fprintf(&records, "%d%s", n, rest)
	}
	b := tarOf(t, file("x", records.String()), file("y", ""))
	b[156] = 'x' // the first entry becomes the PAX header of the second
	for i := 148; i < 156; i++ {
		b[i] = ' '
	}
	sum := 0
	for _, c := range b[:512] {
		sum += int(c)
	}
	copy(b[148:], fmt.Sprintf("%06o\x00 ", sum))
	return b
}

func TestExtract_HostileZip(t *testing.T) {
	t.Parallel()
	locked := zfile("secret", "x")
	locked.Flags = 1
	for _, c := range []struct {
		name    string
		entries []zip.FileHeader
		code    model.Code
		part    string
	}{
		{"traversal", []zip.FileHeader{zfile("../evil", "x")}, model.CodeHostile, "tries to leave"},
		{"absolute", []zip.FileHeader{zfile("/evil", "x")}, model.CodeHostile, "is absolute"},
		{"backslashes", []zip.FileHeader{zfile(`..\evil`, "x")}, model.CodeHostile, "backslashes"},
		{"symlink", []zip.FileHeader{zmode(zfile("l", "../../etc/passwd"), 0o777|os.ModeSymlink)}, model.CodeHostile, "outside the archive"},
		{"device", []zip.FileHeader{zmode(zfile("d", ""), os.ModeDevice|os.ModeCharDevice)}, model.CodeHostile, "a character device"},
		{"NUL", []zip.FileHeader{zfile("a\x00b", "x")}, model.CodeHostile, "a NUL byte"},
		{"not UTF-8", []zip.FileHeader{zfile("caf\xe9", "x")}, model.CodeHostile, "not UTF-8"},
		{"twice", []zip.FileHeader{zfile("a", "x"), zfile("a", "y")}, model.CodeHostile, "twice"},
		{"encrypted", []zip.FileHeader{locked}, model.CodeBadArtifact, "encrypted"},
		{"no name", []zip.FileHeader{zfile("", "x")}, model.CodeBadArtifact, "has no name"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, _, err := unpack(t, zipOf(t, c.entries...), "a.zip", DefaultLimits())
			wantRefusal(t, err, c.code, c.part)
		})
	}
}

func TestExtract_LyingZip(t *testing.T) {
	t.Parallel()
	good := zipOf(t, zfile("a", strings.Repeat("content ", 100)))
	dir := bytes.LastIndex(good, []byte("PK\x01\x02"))
	for _, c := range []struct {
		name  string
		field int // offset in the directory entry
		value uint32
		part  string
	}{
		{"smaller than it is", 24, 10, "sizes or places do not match"},
		{"larger than it is", 24, 1 << 30, "cut off"},
		{"checksum", 16, 42, "checksum is wrong"},
		{"place", 42, 12, "sizes or places do not match"},
		{"method", 10, 99, "zip method 99"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := bytes.Clone(good)
			if c.field == 10 {
				binary.LittleEndian.PutUint16(b[dir+c.field:], uint16(c.value))
			} else {
				binary.LittleEndian.PutUint32(b[dir+c.field:], c.value)
			}
			_, _, err := unpack(t, b, "a.zip", DefaultLimits())
			wantRefusal(t, err, model.CodeBadArtifact, c.part)
		})
	}
}

func TestExtract_Limits(t *testing.T) {
	t.Parallel()
	small := Limits{TotalBytes: 1000, FileBytes: 600, Entries: 5, PathBytes: 50, NameBytes: 100, Ratio: 5, RatioFloor: 300}
	body := strings.Repeat("0123456789", 40) // 400 bytes
	var many []tar.Header
	var zmany []zip.FileHeader
	for i := range 10 {
		many = append(many, file(fmt.Sprint("f", i), ""))
		zmany = append(zmany, zfile(fmt.Sprint("f", i), ""))
	}
	long := strings.Repeat("x", 40)
	for _, c := range []struct {
		name    string
		content []byte
		part    string
	}{
		{"file", tarOf(t, file("a", body+body)), `the file "a" is larger than 600 bytes`},
		{"total", tarOf(t, file("a", body), file("b", body), file("c", body)), "unpacks to more than 1000 bytes"},
		{"hard links count", tarOf(t, file("a", body), hardlink("b", "a"), hardlink("c", "a")), "unpacks to more than 1000 bytes"},
		{"entries", tarOf(t, many...), "more than 5 entries"},
		{"folders of a path count", tarOf(t, file("a/b/c/d/e/f", "")), "more than 5 entries"},
		{"links count", tarOf(t, symlink("a", "z"), symlink("b", "z"), symlink("c", "z"), symlink("d", "z"), symlink("e/f", "z")), "more than 5 entries"},
		{"zip entries", zipOf(t, zmany...), "more than 5 entries"},
		{"all names", tarOf(t, file(long+"1", ""), file(long+"2", ""), file(long+"3", "")), "100 bytes together"},
		{"ratio", zipOf(t, zfile("a", strings.Repeat("0", 590)), zfile("b", strings.Repeat("0", 400))), "more than 5 times its size"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := small
			if c.name == "ratio" {
				l.Ratio = 2
				c.part = "more than 2 times its size"
			} else {
				l.Ratio = 1000
			}
			_, _, err := unpack(t, c.content, "", l)
			wantRefusal(t, err, model.CodeTooLarge, c.part)
		})
	}
}

func TestExtract_GzipBomb(t *testing.T) {
	t.Parallel()
	l := DefaultLimits()
	l.RatioFloor = 1 << 20
	for name, b := range map[string][]byte{
		"file":         gz(t, tarOf(t, file("zeros", string(make([]byte, 8<<20))))),
		"of a bomb":    gz(t, gz(t, make([]byte, 8<<20))),
		"skipped file": gz(t, tarOf(t, file("__MACOSX/zeros", string(make([]byte, 8<<20))))),
		"behind end":   gz(t, append(tarOf(t, file("a", "x")), make([]byte, 8<<20)...)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := unpack(t, b, "a.tar.gz", l)
			if !model.IsCode(err, model.CodeTooLarge) && !model.IsCode(err, model.CodeBadArtifact) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestExtract_TenMegabytesThatUnpackToTenGigabytes is the bomb itself: ten files of a gigabyte each, as gzip members. It is
// stopped long before the disk or the memory notices.
func TestExtract_TenMegabytesThatUnpackToTenGigabytes(t *testing.T) {
	const part = 64 << 20
	zeros := gz(t, make([]byte, part))
	var bomb []byte
	for i := range 10 {
		h := tar.Header{Name: fmt.Sprint("zeros", i), Typeflag: tar.TypeReg, Mode: 0o644, Size: 1 << 30}
		var head bytes.Buffer
		must(t, tar.NewWriter(&head).WriteHeader(&h))
		bomb = append(bomb, gz(t, head.Bytes())...)
		for range (1 << 30) / part {
			bomb = append(bomb, zeros...)
		}
	}
	if len(bomb) > 11<<20 {
		t.Fatalf("the bomb has %d bytes", len(bomb))
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	l := DefaultLimits()
	l.TotalBytes = 200 << 20 // the default would fill 1 GB before the ratio stops it
	_, dir, err := unpack(t, bomb, "a.tar.gz", l)
	runtime.ReadMemStats(&after)
	wantRefusal(t, err, model.CodeTooLarge, "")
	if used := after.TotalAlloc - before.TotalAlloc; used > 8<<20 {
		t.Errorf("it took %d KiB of memory, want less than 8192", used>>10)
	}
	entries, err := os.ReadDir(dir)
	must(t, err)
	var written int64
	for _, e := range entries {
		info, err := e.Info()
		must(t, err)
		written += info.Size()
	}
	if limit := l.TotalBytes + 1<<20; written > limit {
		t.Errorf("it wrote %d bytes, want at most %d", written, limit)
	}
}

// A zip whose end record claims one entry while a million stand in its directory must not fill the memory.
func TestExtract_MillionEntriesInZip(t *testing.T) {
	t.Parallel()
	one := zipOf(t, zfile("a", ""))
	dir := bytes.LastIndex(one, []byte("PK\x01\x02"))
	end := bytes.LastIndex(one, []byte("PK\x05\x06"))
	entry := one[dir:end]
	b := append(bytes.Clone(one[:dir]), bytes.Repeat(entry, 1_000_000)...)
	b = append(b, one[end:]...)
	tail := b[len(b)-22:]
	binary.LittleEndian.PutUint32(tail[12:], uint32(len(entry)*1_000_000))
	_, _, err := unpack(t, b, "a.zip", DefaultLimits())
	wantRefusal(t, err, model.CodeTooLarge, "more than 200000 entries")
}

// A tar has no directory: its entries are counted as they come, and what comes behind the limit is not even read. Links
// touch the disk last, so a million of them touch it never; of files and folders there are as many as are allowed, until
// the build's folder goes.
func TestExtract_MillionEntriesInTar(t *testing.T) {
	few, many := DefaultLimits(), DefaultLimits()
	few.Entries, many.Entries = 500, 50_000
	for _, c := range []struct {
		name   string
		limits Limits
		entry  func(i int) tar.Header
	}{
		{"links", many, func(i int) tar.Header {
			return tar.Header{Typeflag: tar.TypeSymlink, Name: fmt.Sprintf("l%d", i), Linkname: "x"}
		}},
		{"files", few, func(i int) tar.Header { return tar.Header{Typeflag: tar.TypeReg, Name: fmt.Sprintf("f%d", i)} }},
		{"folders", few, func(i int) tar.Header { return tar.Header{Typeflag: tar.TypeDir, Name: fmt.Sprintf("d%d/", i)} }},
		{"folders that only a path implies", few, func(i int) tar.Header {
			return tar.Header{Typeflag: tar.TypeReg, Name: fmt.Sprintf("d%d/e/f/g/h/x", i)}
		}},
		{"hard links", few, func(i int) tar.Header {
			if i == 0 {
				return tar.Header{Typeflag: tar.TypeReg, Name: "x"}
			}
			return tar.Header{Typeflag: tar.TypeLink, Name: fmt.Sprintf("l%d", i), Linkname: "x"}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, w := io.Pipe()
			written := make(chan int, 1)
			go func() { written <- writeEntries(w, 1_000_000, c.entry) }()
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			_, err := ExtractTar(t.Context(), r, t.TempDir(), c.limits)
			runtime.ReadMemStats(&after)
			must(t, r.Close())
			wantRefusal(t, err, model.CodeTooLarge, fmt.Sprintf("more than %d entries", c.limits.Entries))
			if n := <-written; n > c.limits.Entries+1000 {
				t.Errorf("%d entries were taken, want no more than the limit and what a buffer holds", n)
			}
			if grown := int64(after.HeapSys) - int64(before.HeapSys); grown > 96<<20 {
				t.Errorf("the heap grew by %d MiB", grown>>20)
			}
		})
	}
}

// writeEntries writes a tar until nobody reads it any more, and says how many entries were taken.
func writeEntries(w *io.PipeWriter, n int, entry func(i int) tar.Header) int {
	b := bufio.NewWriterSize(w, 64<<10)
	tw := tar.NewWriter(b)
	for i := range n {
		h := entry(i)
		h.Mode = 0o644
		if err := tw.WriteHeader(&h); err != nil {
			return i
		}
	}
	w.CloseWithError(errors.Join(tw.Close(), b.Flush()))
	return n
}

func TestExtract_CutAndJoined(t *testing.T) {
	t.Parallel()
	ball := tarOf(t, file("a", strings.Repeat("x", 1000)), file("b", strings.Repeat("y", 1000)))
	zipped := zipOf(t, zfile("a", "x"))
	packed := gz(t, ball)
	cases := map[string][]byte{
		"joined tars":          append(bytes.Clone(ball), ball...),
		"junk behind gzip":     append(bytes.Clone(packed), "junk"...),
		"joined gzips":         append(bytes.Clone(packed), packed...),
		"gzip checksum":        flip(packed, len(packed)-5),
		"tar without end mark": ball[:len(ball)-1024],
		"tar header":           flip(ball, 1536+3),
	}
	for i := 1; i < 10; i++ {
		cases[fmt.Sprintf("tar.gz cut at %d0 %%", i)] = packed[:len(packed)*i/10]
		cases[fmt.Sprintf("zip cut at %d0 %%", i)] = zipped[:len(zipped)*i/10]
		cases[fmt.Sprintf("tar cut at %d0 %%", i)] = ball[:(len(ball)-1024)*i/10]
	}
	for name, b := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := unpack(t, b, "", DefaultLimits())
			wantRefusal(t, err, model.CodeBadArtifact, "")
		})
	}
}

func TestExtract_TwoGzipMembersAreOneStream(t *testing.T) {
	t.Parallel()
	ball := tarOf(t, file("a", "x"))
	c, _, err := unpack(t, append(gz(t, ball[:700]), gz(t, ball[700:])...), "a.tar.gz", DefaultLimits())
	must(t, err)
	if c.Count != 1 {
		t.Errorf("got %d files, want 1", c.Count)
	}
}

func flip(b []byte, at int) []byte {
	out := bytes.Clone(b)
	out[at] ^= 0xff
	return out
}
