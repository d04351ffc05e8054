package http1

import "bytes"

// Response is a response's head. Its slices are parts of the bytes it was
// parsed from. A Response may be used again and again.
//
// Apps are believed more than visitors: a line may end in a bare LF, and a
// folded line is unfolded. What goes on to the client is strict again. What
// would leave the end of the body in doubt is refused here, too.
type Response struct {
	Status int
	Size   int // of the head, with the blank line
	Body   Framing
	Length int64 // of the body, when it is ByLength
	Close  bool  // the app will not use the connection again
	Date   bool  // it has a Date

	reason  []byte // the status line behind the version, with its space
	line    int    // length of the status line
	drops   drops
	lengths int
	codings int
	bare    bool // some line ends in a bare LF
	named   bool // Connection names other fields
	minor   byte
}

// Parse reads a response's head from the beginning of b, unfolding lines in
// place. bodiless says that the request was a HEAD.
func (r *Response) Parse(b []byte, bodiless bool) (Verdict, Reason) {
	*r = Response{Length: -1}
	i, v, why := r.statusLine(b)
	if v != OK {
		return v, why
	}
	r.line = i
	for {
		l, v, why := r.readLine(b, i)
		if v != OK {
			return v, why
		}
		if l.from == l.to {
			r.Size = l.end
			break
		}
		if why := r.field(b, l); why != 0 {
			return Refuse, why
		}
		i = l.to
	}
	return r.judge(b, bodiless)
}

// statusLine wants "HTTP/1.x nnn" and takes any text behind it.
func (r *Response) statusLine(b []byte) (int, Verdict, Reason) {
	const form = "HTTP/1.0 000" // 0: any digit
	for i := range min(len(b), len(form)) {
		digit := '0' <= b[i] && b[i] <= '9'
		if form[i] != b[i] && !(digit && form[i] == '0') {
			return 0, Refuse, BadStatusLine
		}
	}
	end := bytes.IndexByte(b, '\n')
	if end < 0 {
		return 0, More, 0
	}
	if end < len(form) {
		return 0, Refuse, BadStatusLine
	}
	text := bytes.TrimSuffix(b[:end], []byte("\r"))
	r.minor = b[7]
	r.Status = int(b[9]-'0')*100 + int(b[10]-'0')*10 + int(b[11]-'0')
	if rest := text[len(form):]; r.Status < 100 || len(rest) > 0 && rest[0] != ' ' || skipText(rest, 0) < len(rest) {
		return 0, Refuse, BadStatusLine
	}
	r.reason = text[8:]
	r.bare = len(text) == end
	return end + 1, OK, 0
}

// readLine is the strict reader's, after what apps get away with.
func (r *Response) readLine(b []byte, i int) (line, Verdict, Reason) {
	l, v, why := readLine(b, i)
	if v == Refuse && why == BareLF {
		l, v, why = r.bareLine(b, i)
	}
	if v != OK || l.from == l.to {
		return l, v, why
	}
	if l.to == len(b) {
		return l, More, 0 // the next byte tells whether it is folded
	}
	if b[l.to] != ' ' && b[l.to] != '\t' {
		return l, OK, 0
	}
	for k := l.end; k < l.to; k++ {
		b[k] = ' '
	}
	return r.readLine(b, i)
}

// bareLine reads a line, or the blank line, that ends in a bare LF.
func (r *Response) bareLine(b []byte, i int) (line, Verdict, Reason) {
	r.bare = true
	if b[i] == '\n' {
		return line{from: i, to: i, end: i + 1}, OK, 0
	}
	colon := skip(b, i, isToken)
	if b[colon] != ':' {
		return line{}, Refuse, BadName
	}
	end := skipText(b, colon)
	return line{from: i, colon: colon, end: end, to: end + 1}, OK, 0
}

func (r *Response) field(b []byte, l line) Reason {
	name := l.name(b)
	switch len(name) {
	case 2:
		if is(name, "te") {
			r.drop(l)
		}
	case 4:
		if is(name, "date") {
			r.Date = true
		}
	case 7:
		if is(name, "upgrade") {
			r.drop(l)
		}
	case 10:
		switch {
		case is(name, "connection"):
			r.connection(l.value(b))
			r.drop(l)
		case is(name, "keep-alive"):
			r.drop(l)
		}
	case 14:
		if is(name, "content-length") {
			return r.length(b, l)
		}
	case 16:
		if is(name, "proxy-connection") {
			r.drop(l)
		}
	case 17:
		if is(name, "transfer-encoding") {
			return r.coding(b, l)
		}
	case 18:
		if is(name, "proxy-authenticate") {
			r.drop(l)
		}
	case 19:
		if is(name, "proxy-authorization") {
			r.drop(l)
		}
	}
	return 0
}

func (r *Response) drop(l line) { r.drops.add(l.from, l.to) }

func (r *Response) connection(list []byte) {
	var option []byte
	for len(list) > 0 {
		option, list = nextToken(list)
		switch {
		case is(option, "close"):
			r.Close = true
		case is(option, "keep-alive"), is(option, "upgrade"), len(option) == 0:
		default:
			r.named = true
		}
	}
}

// length takes a Content-Length that is said once, or again and the same; the
// repetition does not go on.
func (r *Response) length(b []byte, l line) Reason {
	n, ok := number(l.value(b))
	if !ok {
		return BadLength
	}
	if r.lengths++; r.lengths > 1 {
		if n != r.Length {
			return LengthTwice
		}
		r.drop(l)
	}
	r.Length = n
	return 0
}

func (r *Response) coding(b []byte, l line) Reason {
	r.drop(l)
	if r.codings++; r.codings > 1 {
		return CodingTwice
	}
	if !is(l.value(b), "chunked") {
		return CodingUnknown
	}
	return 0
}

// judge decides how the body is framed, and whether the connection can serve again.
func (r *Response) judge(b []byte, bodiless bool) (Verdict, Reason) {
	if r.Status == 101 {
		return Refuse, UnaskedSwitch
	}
	if r.minor == '0' {
		r.Close = true // RFC 9112 9.3 lets 1.0 persist; nobody needs it
	}
	if r.codings > 0 && r.lengths > 0 {
		r.Close = true
	}
	if r.lengths > 0 && (r.codings > 0 || r.Status < 200 || r.Status == 204) { // RFC 9110 8.6: those must not say one
		r.dropAll(b, func(name []byte) bool { return is(name, "content-length") })
	}
	if r.named {
		r.dropNamed(b)
	}
	if r.drops.over {
		return Refuse, TooLarge
	}
	switch {
	case bodiless, r.Status < 200, r.Status == 204, r.Status == 304:
		r.Body = NoBody
	case r.codings > 0:
		r.Body = Chunked
	case r.lengths == 0:
		r.Body, r.Close = UntilClose, true
	case r.Length > 0:
		r.Body = ByLength
	}
	return OK, 0
}

// dropNamed drops the fields that Connection names.
func (r *Response) dropNamed(b []byte) {
	r.dropAll(b, func(name []byte) bool { return namedByConnection(b[r.line:r.Size], name) })
}

func namedByConnection(fields, name []byte) bool {
	for i := 0; ; {
		l, v, _ := lenientLine(fields, i)
		if v != OK || l.from == l.to {
			return false
		}
		i = l.to
		if !is(l.name(fields), "connection") {
			continue
		}
		for option, list := []byte(nil), l.value(fields); len(list) > 0; {
			if option, list = nextToken(list); bytes.EqualFold(option, name) {
				return true
			}
		}
	}
}

// dropAll drops every line of a name that is gone, besides those already dropped.
func (r *Response) dropAll(b []byte, gone func(name []byte) bool) {
	old := r.drops
	r.drops.n = 0
	k := 0
	for i := r.line; ; {
		l, v, _ := lenientLine(b, i)
		if v != OK || l.from == l.to {
			return
		}
		i = l.to
		if k < old.n && int(old.lines[k].from) == l.from {
			k++
			r.drop(l)
		} else if gone(l.name(b)) {
			r.drop(l)
		}
	}
}

// lenientLine reads a line of a head that was found good.
func lenientLine(b []byte, i int) (line, Verdict, Reason) {
	var r Response
	l, v, why := readLine(b, i)
	if v == Refuse && why == BareLF {
		return r.bareLine(b, i)
	}
	return l, v, why
}

// AppendHead appends the status line, as HTTP/1.1, and the fields that go on,
// without the blank line. b is what was parsed.
func (r *Response) AppendHead(dst, b []byte) []byte {
	dst = append(dst, "HTTP/1.1"...)
	dst = append(dst, r.reason...)
	if len(r.reason) == 4 {
		dst = append(dst, ' ') // the space before an empty reason is not optional
	}
	dst = append(dst, '\r', '\n')
	if r.bare {
		return r.appendLines(dst, b)
	}
	return r.drops.appendKept(dst, b, r.line, r.Size-2)
}

// appendLines gives every line its CRLF.
func (r *Response) appendLines(dst, b []byte) []byte {
	k := 0
	for i := r.line; ; {
		l, v, _ := lenientLine(b, i)
		if v != OK || l.from == l.to {
			return dst
		}
		i = l.to
		if k < r.drops.n && int(r.drops.lines[k].from) == l.from {
			k++
			continue
		}
		dst = append(dst, b[l.from:l.end]...)
		dst = append(dst, '\r', '\n')
	}
}
