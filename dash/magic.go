package dash

import (
	"bytes"
	"path"
	"strings"
	"unicode"

	"github.com/dinp/dinp/common/model"
)

// headBytes is how much of an upload is looked at: one block of tar.
const headBytes = 512

// wanted are the beginnings of the archives that builders unpack.
var wanted = []string{"\x1f\x8b", "PK\x03\x04", "PK\x05\x06"}

// mistaken are the beginnings of what people upload by mistake, so that the
// refusal calls the thing by its name.
var mistaken = []struct{ magic, what, next string }{
	{"\x7fELF", "a bare program", "pack it with a Procfile: tar -czf app.tar.gz app Procfile"},
	{"MZ", "a Windows program", "build it for Linux, then pack it: tar -czf app.tar.gz app Procfile"},
	{"BZh", "compressed by bzip2", repack},
	{"\xfd7zXZ\x00", "compressed by xz", repack},
	{"\x28\xb5\x2f\xfd", "compressed by zstd", repack},
	{"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", repack},
	{"Rar!", "a RAR archive", repack},
	{"%PDF", "a PDF", pack},
	{"\x89PNG", "a picture", pack},
	{"\xff\xd8\xff", "a picture", pack},
	{"GIF8", "a picture", pack},
	{"#!", "a script", pack},
	{"<", "a single HTML or XML file", pack},
	{"{", "a single JSON file", pack},
}

const (
	pack   = "pack the files of the app: tar -czf app.tar.gz -C FOLDER ."
	repack = "pack it anew: tar -czf app.tar.gz -C FOLDER ."
)

// checkMagic refuses an upload whose first bytes say that it is no archive we
// know. Builders look again, harder: this is only the early, clear answer.
func checkMagic(head []byte, filename string) error {
	if len(head) == 0 {
		return model.E(model.CodeBadArtifact, "the upload is empty").WithNext("send the file as the body: curl -T FILE")
	}
	for _, m := range wanted {
		if bytes.HasPrefix(head, []byte(m)) {
			return nil
		}
	}
	if isTar(head) {
		return nil
	}
	for _, m := range mistaken {
		if bytes.HasPrefix(head, []byte(m.magic)) {
			return model.E(model.CodeBadArtifact, "%s is %s; a .tar.gz, .tar, .zip, .jar or .war is needed", nameOr(filename), m.what).WithNext("%s", m.next)
		}
	}
	return model.E(model.CodeBadArtifact, "%s is not an archive: its first bytes are those of no .tar.gz, .tar, .zip, .jar or .war", nameOr(filename)).WithNext(pack)
}

func nameOr(filename string) string {
	if filename == "" {
		return "the upload"
	}
	return filename
}

// isTar reports whether b is a tar header: the sum of its bytes, with the field
// of the sum itself as spaces, stands in that field. The oldest tars have no magic.
func isTar(b []byte) bool {
	const from, to = 148, 156
	if len(b) < headBytes || b[0] == 0 {
		return false
	}
	var sum, said int64
	for i, c := range b[:headBytes] {
		if i >= from && i < to {
			c = ' '
		}
		sum += int64(c)
	}
	for _, c := range strings.Trim(string(b[from:to]), " \x00") {
		if c < '0' || c > '7' {
			return false
		}
		said = said<<3 + int64(c-'0')
	}
	return said == sum
}

// cleanFilename is the last element of a name from outside, without what a
// terminal or a path could be led astray by; "" when nothing is left.
func cleanFilename(s string) string {
	s = path.Base(strings.ReplaceAll(s, `\`, "/"))
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == '/' || r == unicode.ReplacementChar {
			return -1
		}
		return r
	}, s)
	if s == "." || s == ".." {
		return ""
	}
	return strings.TrimSuffix(clip(s, 200), "…")
}
