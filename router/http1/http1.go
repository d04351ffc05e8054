// Package http1 is the HTTP/1.1 of the fast path as pure functions of bytes: it
// reads request and response heads, decides how a message is framed, walks
// through chunked bodies, and writes the heads that go on. It has no sockets,
// clocks or locks, and allocates nothing, so that it can be fuzzed alone.
//
// It knows three answers to a request's head. OK: it is plain, and every rule
// of RFC 9110 and 9112 that matters to a proxy has been checked. HandOver: it
// is legal or harmless, but not plain; the full path decides. Refuse: two
// servers could see different messages in it, so nobody gets it.
//
//	what                                             verdict
//	HTTP/1.0, HTTP/2 preface, other versions         HandOver
//	target not in origin-form, or with odd bytes     HandOver
//	CONNECT; Upgrade; Expect other than 100-continue HandOver
//	Trailer that announces a field of the head       HandOver
//	Host with odd bytes                              HandOver
//	more lines to drop than maxDrops                 HandOver
//	a first byte that begins no method               HandOver
//	line ended by a bare LF, bare CR in a line       Refuse 400
//	obs-fold, space before the colon, no name        Refuse 400
//	NUL and other control bytes                      Refuse 400
//	Host missing or given twice                      Refuse 400
//	Content-Length twice, a list, signed, no number  Refuse 400
//	Content-Length beside Transfer-Encoding          Refuse 400
//	Transfer-Encoding twice                          Refuse 400
//	Transfer-Encoding with HTTP/1.0                  Refuse 400
//	Transfer-Encoding other than chunked             Refuse 501
//
// Refuse wins over HandOver where a head deserves both. A bad chunk or trailer
// breaks the connection; whatever was sent of that message has no end.
package http1

// Verdict is what a parser thinks of the bytes it was given.
type Verdict uint8

// The verdicts.
const (
	More     Verdict = iota // the head is not complete
	OK                      // the head is complete and plain
	HandOver                // not for this path
	Refuse                  // not for anybody
)

// Framing is how the end of a body is known.
type Framing uint8

// The framings.
const (
	NoBody     Framing = iota
	ByLength           // Content-Length
	Chunked            // Transfer-Encoding: chunked
	UntilClose         // responses only
)

// Reason says why a head was refused or a message broken off.
type Reason uint8

// The reasons.
const (
	ReasonNone Reason = iota
	BareLF
	BareCR
	ObsFold
	SpaceBeforeColon
	BadName
	ControlByte
	HostMissing
	HostTwice
	BadLength
	LengthTwice
	LengthAndCoding
	CodingTwice
	CodingUnknown
	CodingIn10
	BadStatusLine
	UnaskedSwitch
	BadChunk
	TooLarge
)

var reasons = [...]string{
	ReasonNone: "", BareLF: "bare_lf", BareCR: "bare_cr", ObsFold: "obs_fold", SpaceBeforeColon: "space_before_colon",
	BadName: "bad_name", ControlByte: "control_byte", HostMissing: "host_missing", HostTwice: "host_twice", BadLength: "bad_length",
	LengthTwice: "length_twice", LengthAndCoding: "length_and_coding", CodingTwice: "coding_twice", CodingUnknown: "coding_unknown",
	CodingIn10: "coding_in_http10", BadStatusLine: "bad_status_line", UnaskedSwitch: "unasked_switch", BadChunk: "bad_chunk", TooLarge: "too_large",
}

// String returns the reason as the access log says it.
func (r Reason) String() string { return reasons[r] }

// Status is the status with which a refused request is answered.
func (r Reason) Status() int {
	if r == CodingUnknown {
		return 501
	}
	return 400
}

// maxDrops bounds the lines that do not go on as they are. A head with more is
// no plain one.
const maxDrops = 24

// span is a part of the head, from ≤ i < to.
type span struct{ from, to int32 }

// drops are the lines that do not go on, in the order of the head.
type drops struct {
	lines [maxDrops]span
	n     int
	over  bool // there were more
}

func (d *drops) add(from, to int) {
	if d.n == maxDrops {
		d.over = true
		return
	}
	d.lines[d.n] = span{int32(from), int32(to)}
	d.n++
}

// appendKept appends the lines of head[from:to] that are not dropped.
func (d *drops) appendKept(dst, head []byte, from, to int) []byte {
	for _, s := range d.lines[:d.n] {
		dst = append(dst, head[from:s.from]...)
		from = int(s.to)
	}
	return append(dst, head[from:to]...)
}
