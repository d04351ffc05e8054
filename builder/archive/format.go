package archive

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/dinp/dinp/common/model"
)

// Format is how an archive is packed, as its content shows.
type Format string

// The formats that are taken. A .war and a .jar are Zip.
const (
	Tar   Format = "tar"
	TarGz Format = "tar.gz"
	Zip   Format = "zip"
)

const taken = "dinp takes .tar.gz, .tar, .zip, .war and .jar"

// blockSize is tar's unit; also all that has to be read of a file to know its format.
const blockSize = 512

// magics are the beginnings of files that people upload by mistake, so that a refusal can call the thing by its name.
var magics = []struct{ magic, what string }{
	{"\xfd7zXZ\x00", "an xz stream"},
	{"BZh", "a bzip2 stream"},
	{"\x28\xb5\x2f\xfd", "a zstd stream"},
	{"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"},
	{"Rar!\x1a\x07", "a RAR archive"},
	{"\x7fELF", "an ELF program; pack it with its Procfile"},
	{"MZ", "a Windows program"},
	{"\xca\xfe\xba\xbe", "a Java class; upload the .jar or .war"},
	{"!<arch>\n", "a Debian package or ar archive"},
	{"%PDF-", "a PDF"},
	{"#!", "a script; pack it with its Procfile"},
	{"<", "an HTML or XML document; pack the folder it is in"},
}

// Sniff tells the format of the file by its content and compares it with the extension of filename: a wrong extension is
// refused, because the file is then not what its owner believes; a missing or unknown one says nothing.
func Sniff(r io.ReaderAt, filename string) (Format, error) {
	head := make([]byte, blockSize)
	n, err := r.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return "", err
	}
	head = head[:n]
	format := formatOf(head)
	if format == "" {
		return "", unknownFormat(head, filename)
	}
	if want := extensionFormat(filename); want != "" && want != format {
		return "", broken("the file is called %s, but its content is a %s archive", quote(filename), format).
			WithNext("give it the extension .%s if the content is what you meant, or upload the right file", format)
	}
	return format, nil
}

func formatOf(head []byte) Format {
	switch {
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		return TarGz
	case bytes.HasPrefix(head, []byte("PK\x03\x04")), bytes.HasPrefix(head, []byte("PK\x05\x06")):
		return Zip
	case isTarBlock(head):
		return Tar
	}
	return ""
}

func extensionFormat(filename string) Format {
	name := strings.ToLower(filename)
	switch {
	case strings.HasSuffix(name, ".tar.gz"), strings.HasSuffix(name, ".tgz"):
		return TarGz
	case strings.HasSuffix(name, ".tar"):
		return Tar
	case strings.HasSuffix(name, ".zip"), strings.HasSuffix(name, ".war"), strings.HasSuffix(name, ".jar"):
		return Zip
	}
	return ""
}

func unknownFormat(head []byte, filename string) *model.Error {
	what := fmt.Sprintf("unknown; it begins with % x", head[:min(len(head), 8)])
	if len(head) == 0 {
		what = "nothing: the file is empty"
	}
	for _, m := range magics {
		if strings.HasPrefix(string(head), m.magic) {
			what = m.what
			break
		}
	}
	return broken("%s is not an archive that can be deployed; its content is %s", quote(filename), what).WithNext("%s", taken)
}

// isTarBlock reports whether b is a tar header: its checksum counts, since the oldest tars have no magic.
func isTarBlock(b []byte) bool {
	if len(b) < blockSize {
		return false
	}
	const at, width = 148, 8
	sum := int64(0)
	for i, c := range b[:blockSize] {
		if i >= at && i < at+width {
			c = ' '
		}
		sum += int64(c)
	}
	var want int64
	for _, c := range bytes.Trim(b[at:at+width], " \x00") {
		if c < '0' || c > '7' {
			return false
		}
		want = want<<3 | int64(c-'0')
	}
	return want == sum && b[0] != 0
}
