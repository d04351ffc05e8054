package base

import (
	"crypto/sha1" // the format's own checksum, not a protection
	"encoding/binary"
)

// stableKeystore takes out of a Java keystore the one thing that differs in every run, the time each certificate was
// added, and renews the checksum. A file that is no keystore of trusted certificates comes back as it is.
//
// The format: magic, version and count (4 bytes each); per entry its kind (4), alias, time (8), certificate type, and
// certificate; then a SHA-1 over password, a fixed phrase and all before. Strings carry a length of 2 bytes,
// certificates one of 4.
func stableKeystore(store []byte) []byte {
	const head, trusted = 12, 2
	if len(store) < head+sha1.Size || binary.BigEndian.Uint32(store) != 0xFEEDFEED || binary.BigEndian.Uint32(store[4:]) != 2 {
		return store
	}
	stable := append([]byte(nil), store[:len(store)-sha1.Size]...)
	at := head
	for range binary.BigEndian.Uint32(store[8:]) {
		if at+6 > len(stable) || binary.BigEndian.Uint32(stable[at:]) != trusted {
			return store
		}
		at += 4 + skipString(stable[at+4:])
		if at+10 > len(stable) {
			return store
		}
		clear(stable[at : at+8])
		at += 8 + skipString(stable[at+8:])
		if at+4 > len(stable) {
			return store
		}
		at += 4 + int(binary.BigEndian.Uint32(stable[at:]))
	}
	if at != len(stable) {
		return store
	}
	sum := sha1.Sum(append([]byte(keystorePassword+"Mighty Aphrodite"), stable...))
	return append(stable, sum[:]...)
}

// keystorePassword is "changeit", Java's well-known default, in UTF-16.
const keystorePassword = "\x00c\x00h\x00a\x00n\x00g\x00e\x00i\x00t"

func skipString(b []byte) int { return 2 + int(binary.BigEndian.Uint16(b)) }
