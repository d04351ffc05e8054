package base

import (
	"bytes"
	"crypto/sha1"
	"encoding/binary"
	"testing"
)

func TestDropper(t *testing.T) {
	drop := dropper([]string{"/usr/lib/big"})
	for name, want := range map[string]bool{
		"/usr/share/man/man1/ls.1":          true,
		"/usr/share/man":                    true,
		"/usr/share/manual":                 false,
		"/usr/share/doc/libc6/changelog":    true,
		"/usr/share/doc/libc6/copyright":    false,
		"/dev/null":                         true,
		"/dev":                              false,
		"/usr/lib/big":                      true,
		"/usr/lib/big/file":                 true,
		"/usr/lib/bigger":                   false,
		"/etc/apt/sources.list":             true,
		"/etc/ssl/certs/java/cacerts":       false,
		"/var/lib/dpkg/status":              false,
		"/etc/dpkg/dpkg.cfg.d/99mmdebstrap": true,
	} {
		if got := drop(name); got != want {
			t.Errorf("drop(%s) = %v, want %v", name, got, want)
		}
	}
}

func TestLineBelongs(t *testing.T) {
	for line, want := range map[string]bool{
		"deb http://mirror.test/debian bookworm main":                                          true,
		"deb [signed-by=/k.gpg arch=amd64] http://mirror.test/d bookworm-updates main contrib": true,
		"deb http://mirror.test/security bookworm-security main":                               true,
		"deb http://mirror.test/debian stable main":                                            true,
		"deb-src http://mirror.test/debian bookworm main":                                      false,
		"# deb http://mirror.test/debian bookworm main":                                        false,
		"deb http://other.test/apt cloud-sdk-bookworm main":                                    false,
		"deb http://other.test/docker bookworm stable":                                         false,
		"deb http://mirror.test/debian sid main":                                               false,
		"":                                                                                     false,
	} {
		if got := lineBelongs(line, "bookworm"); got != want {
			t.Errorf("lineBelongs(%q) = %v, want %v", line, got, want)
		}
	}
}

func TestStanzaBelongs(t *testing.T) {
	for stanza, want := range map[string]bool{
		"# where from\nTypes: deb\nURIs: http://mirror.test/debian\nSuites: bookworm bookworm-updates\nComponents: main": true,
		"Types: deb\nEnabled: no\nURIs: http://mirror.test/debian\nSuites: bookworm\nComponents: main":                   false,
		"Types: deb-src\nURIs: http://mirror.test/debian\nSuites: bookworm\nComponents: main":                            false,
		"Types: deb\nURIs: http://other.test\nSuites: nodistro\nComponents: main":                                        false,
		"": false,
	} {
		if got := stanzaBelongs(stanza, "bookworm"); got != want {
			t.Errorf("stanzaBelongs(%q) = %v, want %v", stanza, got, want)
		}
	}
}

// keystoreAt makes a keystore of two certificates, as Java would at a given time.
func keystoreAt(time uint64) []byte {
	var b bytes.Buffer
	put := func(v any) { _ = binary.Write(&b, binary.BigEndian, v) } // a buffer takes everything
	text := func(s string) { put(uint16(len(s))); b.WriteString(s) }
	put([]uint32{0xFEEDFEED, 2, 2})
	for _, alias := range []string{"one", "another"} {
		put(uint32(2))
		text(alias)
		put(time)
		text("X.509")
		put(uint32(4))
		b.WriteString("cert")
	}
	sum := sha1.Sum(append([]byte(keystorePassword+"Mighty Aphrodite"), b.Bytes()...))
	return append(b.Bytes(), sum[:]...)
}

func TestStableKeystore_ForgetsTheTimeAndStaysValid(t *testing.T) {
	got := stableKeystore(keystoreAt(1234567))
	if !bytes.Equal(got, keystoreAt(0)) {
		t.Errorf("got %x, want %x", got, keystoreAt(0))
	}
}

func TestStableKeystore_LeavesWhatItDoesNotUnderstand(t *testing.T) {
	whole := keystoreAt(5)
	for at := range len(whole) {
		if cut := whole[:at]; !bytes.Equal(stableKeystore(cut), cut) {
			t.Errorf("changed a keystore cut at byte %d", at)
		}
	}
	for _, other := range [][]byte{nil, []byte("MZ"), bytes.Repeat([]byte{0x30}, 200)} {
		if !bytes.Equal(stableKeystore(other), other) {
			t.Errorf("changed %x", other)
		}
	}
}

func FuzzStableKeystore(f *testing.F) {
	f.Add(keystoreAt(7))
	f.Fuzz(func(t *testing.T, store []byte) {
		if got := stableKeystore(store); len(got) != len(store) {
			t.Errorf("length %d became %d", len(store), len(got))
		}
	})
}
