package http1

import "strings"

// line is one field line of a head: name, colon, value, CRLF.
type line struct {
	from, colon, to int // to: behind the line's end
	end             int // of the value, where the line's end begins
}

func (l line) name(b []byte) []byte  { return b[l.from:l.colon] }
func (l line) value(b []byte) []byte { return trim(b[l.colon+1 : l.end]) }

// readLine reads the field line at i. OK with from == to is the blank line
// that ends the head; then end is behind it.
func readLine(b []byte, i int) (l line, v Verdict, why Reason) {
	if i >= len(b) {
		return l, More, 0
	}
	if class[b[i]]&isToken == 0 {
		return notName(b, i)
	}
	colon := skip(b, i+1, isToken)
	if colon == len(b) {
		return l, More, 0
	}
	if b[colon] != ':' {
		return l, Refuse, nameEnd(b[colon])
	}
	end := skipText(b, colon+1)
	if end+1 >= len(b) && (end == len(b) || b[end] == '\r') {
		return l, More, 0
	}
	switch {
	case b[end] == '\n':
		return l, Refuse, BareLF
	case b[end] != '\r':
		return l, Refuse, ControlByte
	case b[end+1] != '\n':
		return l, Refuse, BareCR
	}
	return line{from: i, colon: colon, end: end, to: end + 2}, OK, 0
}

// notName judges a line that does not begin with a name.
func notName(b []byte, i int) (l line, v Verdict, why Reason) {
	switch b[i] {
	case '\r':
		if i+1 == len(b) {
			return l, More, 0
		}
		if b[i+1] != '\n' {
			return l, Refuse, BareCR
		}
		return line{from: i, to: i, end: i + 2}, OK, 0
	case '\n':
		return l, Refuse, BareLF
	case ' ', '\t':
		return l, Refuse, ObsFold
	}
	return l, Refuse, BadName
}

func nameEnd(c byte) Reason {
	switch c {
	case ' ', '\t':
		return SpaceBeforeColon
	case '\n':
		return BareLF
	case 0:
		return ControlByte
	}
	return BadName
}

// Find returns the value of the first field of that lower-case name in a head
// that a parser found good, and nil when there is none.
func Find(head []byte, name string) []byte {
	i := startLine(head)
	for {
		l, v, _ := readLine(head, i)
		if v != OK || l.from == l.to {
			return nil
		}
		if is(l.name(head), name) {
			return l.value(head)
		}
		i = l.to
	}
}

// startLine returns the length of the first line.
func startLine(head []byte) int {
	for i, c := range head {
		if c == '\n' {
			return i + 1
		}
	}
	return len(head)
}

// HeadEnds reports whether a blank line ends in b[from:], so that a head which
// arrives in drops is parsed twice and not once a drop. It errs on the side of
// parsing: a bare LF counts as an end of line.
func HeadEnds(b []byte, from int) bool {
	for i := max(from, 1); i < len(b); i++ {
		if b[i] == '\n' && (b[i-1] == '\n' || i > 1 && b[i-1] == '\r' && b[i-2] == '\n') {
			return true
		}
	}
	return false
}

// Poses reports whether a name differs from that of a field which the router
// sets in having _ for - alone. An app's server that makes variables of names (CGI,
// WSGI, Rack, PHP) cannot tell the two apart, and would believe a stranger.
func Poses(name string) bool { return strings.IndexByte(name, '_') > 0 && poses([]byte(name)) }

func poses(name []byte) bool {
	var form [16]byte
	as := form[:copy(form[:], name)]
	for i, c := range as {
		if c == '_' {
			as[i] = '-'
		}
	}
	return begins(as, "x-forwarded-") || len(name) < len(form) && (is(as, "x-real-ip") || is(as, "x-request-id"))
}
