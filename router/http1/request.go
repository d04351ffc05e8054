package http1

import "bytes"

// Request is a request's head. Its slices are parts of the bytes it was parsed
// from. A Request may be used again and again.
type Request struct {
	Method, Target []byte // byte-exact
	Host           []byte // the field's value
	Size           int    // of the head, with the blank line
	Body           Framing
	Length         int64 // of the body, when it is ByLength
	Close          bool  // the client will not use the connection again
	Continue       bool  // it waits for 100 before it sends the body

	ForwardedFor, ForwardedProto, ForwardedHost []byte // X-Forwarded-…, nil when not given
	ForwardedForLines                           int
	Forwarded                                   bool   // Forwarded (RFC 7239) was given
	RequestID                                   []byte // X-Request-Id, nil when not given

	line      int // length of the request line
	drops     drops
	family    [4]span // lines of Forwarded and X-Forwarded-… that only strangers lose
	nFamily   int
	hosts     int
	tes       int
	lengths   int
	codings   int
	chunked   bool
	http10    bool
	elsewhere bool // is for the full path
}

// maxMethod bounds how long bytes are taken for the beginning of a method.
const maxMethod = 32

// Parse reads a request's head from the beginning of b. The reason is that of a Refuse.
func (r *Request) Parse(b []byte) (Verdict, Reason) {
	*r = Request{}
	i, v, why := r.requestLine(b)
	if v != OK {
		return v, why
	}
	r.line = i
	for {
		l, v, why := readLine(b, i)
		if v != OK {
			return v, why
		}
		if l.from == l.to {
			r.Size = l.end
			return r.judge()
		}
		if why := r.field(b, l); why != 0 {
			return Refuse, why
		}
		i = l.to
	}
}

func (r *Request) requestLine(b []byte) (int, Verdict, Reason) {
	i := skip(b, 0, isToken)
	if i == len(b) && i <= maxMethod {
		return 0, More, 0
	}
	if i == 0 || i > maxMethod || b[i] != ' ' {
		return 0, HandOver, 0
	}
	r.Method = b[:i]
	from := i + 1
	i = r.target(b, from)
	if i == len(b) {
		return 0, More, 0
	}
	if b[i] != ' ' { // a byte no target has: net/http knows what to say
		return 0, HandOver, 0
	}
	r.Target = b[from:i]
	return r.version(b, i+1)
}

// target walks over a target and notes whether it is a plain one.
func (r *Request) target(b []byte, i int) int {
	from := i
	for {
		i = skip(b, i, isPath)
		if i == len(b) || b[i] != '%' {
			break
		}
		if i+2 < len(b) && (class[b[i+1]]&class[b[i+2]]&isHexDig) == 0 {
			r.elsewhere = true
		}
		i++
	}
	if i < len(b) && b[i] == '?' {
		i = skip(b, i, isQuery)
	}
	if i < len(b) && b[from] != '/' {
		r.elsewhere = true
	}
	return i
}

const version11 = "HTTP/1.1\r\n"

func (r *Request) version(b []byte, i int) (int, Verdict, Reason) {
	got := b[i:min(len(b), i+len(version11))]
	if string(got) == version11 {
		return i + len(version11), OK, 0
	}
	for j, c := range got {
		if c == version11[j] {
			continue
		}
		switch {
		case c == '\n':
			return 0, Refuse, BareLF
		case j == 7 && c == '0':
			// Its fields are read all the same: what smuggles is refused first.
			r.http10, r.elsewhere = true, true
		case j == 9:
			return 0, Refuse, BareCR
		default:
			return 0, HandOver, 0
		}
	}
	if len(got) < len(version11) {
		return 0, More, 0
	}
	return i + len(version11), OK, 0
}

// field notes what a line means to this hop. Most names mean nothing.
func (r *Request) field(b []byte, l line) Reason {
	name := l.name(b)
	switch len(name) {
	case 2:
		if is(name, "te") {
			r.te(l.value(b))
		}
	case 4:
		if is(name, "host") {
			return r.host(l.value(b))
		}
	case 6:
		if is(name, "expect") {
			if !is(l.value(b), "100-continue") {
				r.elsewhere = true
			}
			r.Continue = true
		}
	case 7:
		switch {
		case is(name, "upgrade"):
			r.elsewhere = true
		case is(name, "trailer"):
			r.trailer(l.value(b))
		}
	case 9:
		switch {
		case is(name, "forwarded"):
			r.Forwarded = true
			r.believed(l)
		case is(name, "x-real-ip"):
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
	case 12:
		if is(name, "x-request-id") {
			r.drop(l)
			if r.RequestID == nil {
				r.RequestID = l.value(b)
			}
		}
	case 14:
		if is(name, "content-length") {
			return r.length(l.value(b))
		}
	case 16:
		if is(name, "proxy-connection") {
			r.drop(l)
		}
	case 17:
		if is(name, "transfer-encoding") {
			r.drop(l)
			return r.coding(l.value(b))
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
	if name[0]|0x20 == 'x' {
		r.ofRouter(b, l, name)
	}
	return 0
}

// ofRouter notes a line whose field the router sets, or which passes for one.
func (r *Request) ofRouter(b []byte, l line, name []byte) {
	switch {
	case len(name) > 12 && begins(name, "x-forwarded-"):
		r.forwarded(b, l, name[12:])
	case bytes.IndexByte(name, '_') > 0 && poses(name):
		r.drop(l)
	}
}

func (r *Request) drop(l line) { r.drops.add(l.from, l.to) }

func (r *Request) host(value []byte) Reason {
	if r.hosts++; r.hosts > 1 {
		return HostTwice
	}
	r.Host = value
	if skip(value, 0, isHost) < len(value) {
		r.elsewhere = true
	}
	return 0
}

// te reads which codings the client takes in transfer, which this hop decides.
// Only that it takes trailers goes on; a list that says more is for the full path,
// which takes it apart.
func (r *Request) te(value []byte) {
	if r.tes++; r.tes > 1 || string(value) != "trailers" {
		r.elsewhere = true
	}
}

// connection reads the connection's options. Naming other fields is legal and
// rare: the full path removes them.
func (r *Request) connection(list []byte) {
	var option []byte
	for len(list) > 0 {
		option, list = nextToken(list)
		switch {
		case is(option, "close"):
			r.Close = true
		case is(option, "keep-alive"), is(option, "te"), len(option) == 0:
		default:
			r.elsewhere = true
		}
	}
}

// trailer reads which trailers are announced. Those that must not travel are
// for the full path, which knows what to say of each.
func (r *Request) trailer(list []byte) {
	var name []byte
	for len(list) > 0 {
		if name, list = nextToken(list); staysInHead(name) {
			r.elsewhere = true
		}
	}
}

func (r *Request) length(value []byte) Reason {
	if r.lengths++; r.lengths > 1 {
		return LengthTwice
	}
	n, ok := number(value)
	if !ok {
		return BadLength
	}
	r.Length = n
	return 0
}

func (r *Request) coding(value []byte) Reason {
	if r.codings++; r.codings > 1 {
		return CodingTwice
	}
	if !is(value, "chunked") {
		return CodingUnknown
	}
	r.chunked = true
	return 0
}

// forwarded notes the line of an X-Forwarded- field. The three that the router
// sets are always replaced; the others are believed from proxies alone.
func (r *Request) forwarded(b []byte, l line, what []byte) {
	switch {
	case is(what, "for"):
		r.ForwardedForLines++
		r.ForwardedFor = l.value(b)
		r.drop(l)
	case is(what, "proto"):
		if r.ForwardedProto == nil {
			r.ForwardedProto = l.value(b)
		}
		r.drop(l)
	case is(what, "host"):
		if r.ForwardedHost == nil {
			r.ForwardedHost = l.value(b)
		}
		r.drop(l)
	default:
		r.believed(l)
	}
}

// believed notes a line that goes on if the client is a trusted proxy.
func (r *Request) believed(l line) {
	if r.nFamily == len(r.family) {
		r.elsewhere = true
		return
	}
	r.family[r.nFamily] = span{int32(l.from), int32(l.to)}
	r.nFamily++
}

// judge decides on the whole head.
func (r *Request) judge() (Verdict, Reason) {
	switch {
	case r.hosts == 0 && !r.http10:
		return Refuse, HostMissing
	case r.codings > 0 && r.lengths > 0:
		return Refuse, LengthAndCoding
	case r.codings > 0 && r.http10:
		return Refuse, CodingIn10
	case r.elsewhere, r.drops.over, r.drops.n+r.nFamily > maxDrops, string(r.Method) == "CONNECT":
		return HandOver, 0
	}
	switch {
	case r.chunked:
		r.Body = Chunked
	case r.Length > 0:
		r.Body = ByLength
	}
	return OK, 0
}

// AppendHead appends the request line and the fields that go on, without the
// blank line. b is what was parsed. trusted says that the client is a proxy
// whose Forwarded and other X-Forwarded- fields are believed.
func (r *Request) AppendHead(dst, b []byte, trusted bool) []byte {
	if !trusted && r.nFamily > 0 {
		r.dropFamily()
	}
	return r.drops.appendKept(dst, b, 0, r.Size-2)
}

// dropFamily merges the family's lines into the dropped ones, in order.
func (r *Request) dropFamily() {
	for _, s := range r.family[:r.nFamily] {
		i := r.drops.n
		for i > 0 && r.drops.lines[i-1].from > s.from {
			i--
		}
		r.drops.insert(i, s)
	}
	r.nFamily = 0
}

func (d *drops) insert(i int, s span) {
	d.n++
	copy(d.lines[i+1:d.n], d.lines[i:d.n-1])
	d.lines[i] = s
}
