package http1

import (
	"encoding/binary"
	"math/bits"
)

// Classes of bytes.
const (
	isToken  = 1 << iota // RFC 9110 tchar: methods and field names
	isPath               // pchar of RFC 3986 and "/", without "%"
	isQuery              // what travels unchanged after "?"
	isHost               // what a host and port may consist of
	isHexDig             //
)

var class = func() (t [256]uint8) {
	set := func(bit uint8, s string) {
		for i := range len(s) {
			t[s[i]] |= bit
		}
	}
	const digits, lower, upper = "0123456789", "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	const alnum = digits + lower + upper
	set(isToken, alnum+"!#$%&'*+-.^_`|~")
	set(isPath, alnum+"-._~!$&'()*+,;=:@/")
	set(isQuery, alnum+"-._~!$&'()*+,;=:@/?%[]{}|^`\"<>\\")
	set(isHost, alnum+"-._:[]")
	set(isHexDig, digits+"abcdefABCDEF")
	return t
}()

const (
	every01 = 0x0101010101010101
	every80 = 0x8080808080808080
)

// skipText returns the index of the first control byte of b at or after i, or
// len(b). A tab is text. It looks at eight bytes at a time: a byte below 0x20
// borrows into its high bit when 0x20 is taken away, and one of 0x7f does when
// it is first turned into 0.
func skipText(b []byte, i int) int {
	for {
		for i+8 <= len(b) {
			x := binary.LittleEndian.Uint64(b[i:])
			y := x ^ every01*0x7f
			hit := ((x-every01*0x20)&^x | (y-every01)&^y) & every80
			if hit == 0 {
				i += 8
				continue
			}
			i += bits.TrailingZeros64(hit) / 8
			if b[i] != '\t' {
				return i
			}
			i++
		}
		for i < len(b) && (b[i] >= 0x20 && b[i] != 0x7f || b[i] == '\t') {
			i++
		}
		return i
	}
}

// skip returns the index of the first byte at or after i that is not of the class.
func skip(b []byte, i int, c uint8) int {
	for i < len(b) && class[b[i]]&c != 0 {
		i++
	}
	return i
}

// trim removes spaces and tabs from both ends.
func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// is reports whether b is name without regard to case. name is lower case and
// has letters and hyphens only, and b tokens only: then setting bit 5 makes
// exactly the right bytes equal.
func is(b []byte, name string) bool {
	if len(b) != len(name) {
		return false
	}
	for i := range len(name) {
		if b[i]|0x20 != name[i] {
			return false
		}
	}
	return true
}

// begins reports whether b begins with name, by the rules of is.
func begins(b []byte, name string) bool {
	return len(b) >= len(name) && is(b[:len(name)], name)
}

// number reads a Content-Length. 18 digits are more than any disk holds, and
// cannot overflow.
func number(b []byte) (int64, bool) {
	if len(b) == 0 || len(b) > 18 {
		return 0, false
	}
	var n int64
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}

// nextToken cuts the first element off a comma-separated list.
func nextToken(list []byte) (token, rest []byte) {
	for i, c := range list {
		if c == ',' {
			return trim(list[:i]), list[i+1:]
		}
	}
	return trim(list), nil
}
