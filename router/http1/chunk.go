package http1

// Part says what becomes of the bytes that Chunks has looked at.
type Part uint8

// The parts.
const (
	Keep   Part = iota // they go on
	Drop               // they end here: chunk extensions, trailers that must not travel
	Wait               // nothing can be said before more has arrived
	Broken             // no chunked body; its connection is of no more use
)

// maxTrailers bounds a trailer section, and with it what a caller must keep
// while a line of it is incomplete.
const maxTrailers = 8 << 10

// RequestChunk limits chunks of requests: an app that counts in 32 bits would
// see a larger one end early, and the rest as a request of its own.
const RequestChunk = 1<<31 - 1

const anyChunk = 1 << 60

// maxExtension bounds what may stand behind a chunk's size.
const maxExtension = 4 << 10

type chunkState uint8

const (
	chunkSize chunkState = iota
	chunkExtension
	chunkSizeCR // the four that want one byte: CRs are even
	chunkSizeLF
	chunkDataCR
	chunkDataLF
	chunkData
	chunkTrailer
	chunkDone
)

// Chunks walks through a chunked body without decoding it: what a body is made
// of goes on byte by byte, but for extensions, which nobody uses and servers
// read differently, and trailers that would rewrite the head. The zero Chunks
// is at the beginning of a body.
type Chunks struct {
	Limit uint64 // of a chunk's size; 0: 2^60

	state  chunkState
	padded bool   // spaces stand behind the size, and nothing else may
	left   uint64 // of the chunk
	count  int    // digits, extension bytes or trailer bytes so far
}

// Done reports whether the body has ended.
func (c *Chunks) Done() bool { return c.state == chunkDone }

// Next looks at the beginning of b, which is not empty, and returns how many
// bytes share one fate. It must not be called when Done.
func (c *Chunks) Next(b []byte) (int, Part) {
	switch c.state {
	case chunkExtension:
		return c.extension(b)
	case chunkTrailer:
		return c.trailer(b)
	}
	for i := 0; i < len(b); {
		switch c.state {
		case chunkSize:
			if c.extends(b[i]) {
				c.state, c.count, c.padded = chunkExtension, 0, b[i] != ';'
				continue
			}
			if !c.digit(b[i]) {
				return 0, Broken
			}
			i++
		case chunkData:
			n := min(c.left, uint64(len(b)-i))
			i += int(n)
			if c.left -= n; c.left == 0 {
				c.state = chunkDataCR
			}
		case chunkSizeCR, chunkSizeLF, chunkDataCR, chunkDataLF:
			if b[i] != "\r\n"[c.state&1] {
				return 0, Broken
			}
			i++
			c.step()
		default: // an extension or a trailer begins: its fate is another
			if i == 0 {
				return c.Next(b)
			}
			return i, Keep
		}
	}
	return len(b), Keep
}

// step is behind a CR or LF.
func (c *Chunks) step() {
	switch c.state {
	case chunkSizeLF:
		c.state = chunkData
		if c.left == 0 {
			c.state, c.count = chunkTrailer, 0
		}
	case chunkDataLF:
		c.state, c.count = chunkSize, 0
	default:
		c.state++
	}
}

func (c *Chunks) extends(ch byte) bool {
	return c.count > 0 && (ch == ';' || ch == ' ' || ch == '\t')
}

// digit takes a byte of a size, or the CR behind it.
func (c *Chunks) digit(ch byte) bool {
	if ch == '\r' && c.count > 0 {
		c.state = chunkSizeLF
		return true
	}
	v, hex := unhex(ch)
	if !hex || c.count == 16 {
		return false
	}
	c.left = c.left<<4 | uint64(v)
	c.count++
	limit := c.Limit
	if limit == 0 {
		limit = anyChunk
	}
	return c.left <= limit
}

// extension drops what stands between a size and its CR.
func (c *Chunks) extension(b []byte) (int, Part) {
	end := skipText(b, 0)
	if c.padded && len(trim(b[:end])) > 0 {
		return 0, Broken
	}
	if c.count += end; c.count > maxExtension {
		return 0, Broken
	}
	if end < len(b) {
		c.state = chunkSizeCR
		if end == 0 {
			return c.Next(b)
		}
	}
	return end, Drop
}

// trailer takes one line of the trailer section at a time.
func (c *Chunks) trailer(b []byte) (int, Part) {
	l, v, _ := readLine(b, 0)
	switch v {
	case Refuse:
		return 0, Broken
	case More:
		if c.count+len(b) > maxTrailers {
			return 0, Broken
		}
		return 0, Wait
	}
	if l.from == l.to {
		c.state = chunkDone
		return l.end, Keep
	}
	if c.count += l.to; c.count > maxTrailers {
		return 0, Broken
	}
	if staysInHead(l.name(b)) {
		return l.to, Drop
	}
	return l.to, Keep
}

// headOnly are fields that frame, route or authenticate: a recipient that merged
// them from the trailers would act on another message than the router.
var headOnly = []string{
	"transfer-encoding", "content-length", "host", "connection", "keep-alive", "te", "trailer", "upgrade", "expect",
	"proxy-connection", "proxy-authenticate", "proxy-authorization", "authorization", "cookie", "set-cookie",
	"content-type", "content-encoding", "content-range", "cache-control", "location",
	"forwarded", "x-real-ip", "x-request-id",
}

// TrailerTravels reports whether a trailer of that name may go on.
func TrailerTravels(name string) bool {
	b := []byte(name)
	return len(b) > 0 && skip(b, 0, isToken) == len(b) && !staysInHead(b)
}

func staysInHead(name []byte) bool {
	for _, h := range headOnly {
		if is(name, h) {
			return true
		}
	}
	return begins(name, "x-forwarded-")
}

// Filter walks over b and moves together what goes on. It returns that, how
// much of b has been dealt with — the rest is to be shown again with more
// behind it, or lies behind the body — and Broken or Wait, or Keep when neither.
func (c *Chunks) Filter(b []byte) (kept []byte, used int, p Part) {
	out := 0
	for used < len(b) && !c.Done() {
		n, part := c.Next(b[used:])
		if part == Wait || part == Broken {
			return b[:out], used, part
		}
		if part == Keep {
			if out != used {
				copy(b[out:], b[used:used+n])
			}
			out += n
		}
		used += n
	}
	return b[:out], used, Keep
}

func unhex(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10, true
	}
	return 0, false
}
