package route

import (
	"strconv"
	"strings"
)

// plain reads a Backend that is written as EncodeBackend writes nearly all of them:
// nothing but an app, perhaps in maintenance, and its endpoints, in texts that need
// no escapes. A leader that begins reads ten thousands of them, and so does a router;
// that takes a fifth of what it takes to understand any JSON. ok is false for all
// else, which is for encoding/json to judge.
func plain(s string) (b Backend, ok bool) {
	p := plainReader{s}
	if !p.word(`{"app":`) || !p.text(&b.App) {
		return b, false
	}
	b.Maintenance = p.word(`,"maintenance":true`)
	if !p.word(`,"endpoints":[`) {
		return b, false
	}
	b.Endpoints = make([]Endpoint, 0, strings.Count(s, `{"addr":`))
	for !p.word(`]`) {
		if len(b.Endpoints) > 0 && !p.word(`,`) {
			return b, false
		}
		var e Endpoint
		if !p.word(`{"addr":`) || !p.text(&e.Addr) || !p.word(`,"instance":`) || !p.text(&e.Instance) ||
			!p.word(`,"release":`) || !p.number(&e.Release) || !p.word(`,"weight":`) || !p.number(&e.Weight) || !p.word(`}`) {
			return b, false
		}
		b.Endpoints = append(b.Endpoints, e)
	}
	return b, p.word(`}`) && p.rest == ""
}

// plainReader is what has yet to be read; each of its methods takes something off
// its front, or leaves it.
type plainReader struct{ rest string }

func (p *plainReader) word(w string) (is bool) {
	p.rest, is = strings.CutPrefix(p.rest, w)
	return is
}

// text reads a string of printable ASCII. It is a copy: what is kept of it must not
// keep the whole value.
func (p *plainReader) text(into *string) bool {
	if !p.word(`"`) {
		return false
	}
	for i := range len(p.rest) {
		switch c := p.rest[i]; {
		case c == '"':
			*into, p.rest = strings.Clone(p.rest[:i]), p.rest[i+1:]
			return true
		case c == '\\' || c < ' ' || c > '~':
			return false
		}
	}
	return false
}

// number reads a number of at most nine digits, and no sign.
func (p *plainReader) number(into *int) bool {
	n, i := 0, 0
	for ; i < len(p.rest) && i < 10 && '0' <= p.rest[i] && p.rest[i] <= '9'; i++ {
		n = 10*n + int(p.rest[i]-'0')
	}
	if i == 0 || i == 10 || i > 1 && p.rest[0] == '0' {
		return false
	}
	*into, p.rest = n, p.rest[i:]
	return true
}

// plainText is what encoding/json makes of a Backend that plain reads; ok is false of
// any other.
func plainText(b Backend) (s string, ok bool) {
	if b.Settings != nil || b.Drain != 0 || b.Endpoints == nil || !isPlain(b.App) {
		return "", false
	}
	out := make([]byte, 0, 64+len(b.App)+plainEndpoint*len(b.Endpoints))
	out = append(append(append(out, `{"app":"`...), b.App...), '"')
	if b.Maintenance {
		out = append(out, `,"maintenance":true`...)
	}
	out = append(out, `,"endpoints":[`...)
	for i, e := range b.Endpoints {
		if !isPlain(e.Addr) || !isPlain(e.Instance) {
			return "", false
		}
		if i > 0 {
			out = append(out, ',')
		}
		out = append(append(out, `{"addr":"`...), e.Addr...)
		out = append(append(out, `","instance":"`...), e.Instance...)
		out = strconv.AppendInt(append(out, `","release":`...), int64(e.Release), 10)
		out = strconv.AppendInt(append(out, `,"weight":`...), int64(e.Weight), 10)
		out = append(out, '}')
	}
	return string(append(out, "]}"...)), true
}

// plainEndpoint is the room that an endpoint takes, rather more than less.
const plainEndpoint = 128

// asIs are the bytes that encoding/json writes as they are.
var asIs = func() (is [256]bool) {
	for c := ' '; c <= '~'; c++ {
		is[c] = !strings.ContainsRune(`"\<>&`, c)
	}
	return is
}()

func isPlain(s string) bool {
	for i := range len(s) {
		if !asIs[s[i]] {
			return false
		}
	}
	return true
}
