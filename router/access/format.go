package access

import (
	"strconv"
	"time"
	"unicode/utf8"
)

// Format is how a line is written.
type Format string

// The formats.
const (
	JSON     Format = "json"
	Combined Format = "combined" // of Apache and nginx; the query is left out there, too
)

// maxText bounds each text of a visitor's in a line.
const maxText = 2048

// stamp writes times, and remembers the second it wrote last.
type stamp struct {
	layout string
	second int64
	text   []byte
}

func (s *stamp) of(now time.Time) []byte {
	if unix := now.Unix(); unix != s.second || s.text == nil {
		s.second, s.text = unix, now.UTC().AppendFormat(s.text[:0], s.layout)
	}
	return s.text
}

// Layouts of the second within a line.
const (
	layoutJSON     = "2006-01-02T15:04:05"
	layoutCombined = "02/Jan/2006:15:04:05 -0700"
)

func appendJSON(b []byte, r *Record, now time.Time, s *stamp) []byte {
	b = append(b, `{"time":"`...)
	b = append(b, s.of(now)...)
	ms := now.Nanosecond() / 1e6
	b = append(b, '.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10), 'Z', '"')
	b = text(b, "host", r.Host)
	b = optional(b, "app", r.App)
	if r.Release != 0 {
		b = number(b, "release", int64(r.Release))
	}
	b = optional(b, "instance", r.Instance)
	b = text(b, "client", r.Client)
	b = text(b, "method", r.Method)
	b = text(b, "path", r.Path)
	b = text(b, "proto", r.Proto)
	b = number(b, "status", int64(r.Status))
	b = optional(b, "code", string(r.Code))
	b = optional(b, "why", r.Why)
	b = number(b, "attempts", int64(r.Attempts))
	b = number(b, "bytes", r.Bytes)
	b = text(b, "request_id", r.RequestID)
	b = append(b, `,"ms":`...)
	us := r.Duration.Microseconds()
	b = strconv.AppendInt(b, us/1000, 10)
	if us%1000 != 0 {
		b = append(b, '.', byte('0'+us%1000/100), byte('0'+us%100/10), byte('0'+us%10))
	}
	return append(b, "}\n"...)
}

func number(b []byte, name string, v int64) []byte {
	b = append(append(append(b, `,"`...), name...), `":`...)
	return strconv.AppendInt(b, v, 10)
}

func optional(b []byte, name, v string) []byte {
	if v == "" {
		return b
	}
	return text(b, name, v)
}

func text(b []byte, name, v string) []byte {
	b = append(append(append(b, `,"`...), name...), `":"`...)
	return append(quote(b, v), '"')
}

const hex = "0123456789abcdef"

// bare are the bytes that JSON takes as they are.
var bare = func() (t [256]bool) {
	for c := ' '; c < 0x7f; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// quote escapes for JSON. Bytes that are no UTF-8 become U+FFFD.
func quote(b []byte, v string) []byte {
	if len(v) > maxText {
		v = v[:maxText]
	}
	for i := range len(v) {
		if !bare[v[i]] {
			return escape(append(b, v[:i]...), v[i:])
		}
	}
	return append(b, v...)
}

func escape(b []byte, v string) []byte {
	for _, r := range v {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r < ' ' || r == 0x7f:
			b = append(b, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return b
}

func appendCombined(b []byte, r *Record, now time.Time, s *stamp) []byte {
	b = append(b, r.Client...)
	b = append(append(append(b, " - - ["...), s.of(now)...), `] "`...)
	b = plain(b, r.Method)
	b = plain(append(b, ' '), r.Path)
	b = plain(append(b, ' '), r.Proto)
	b = append(b, `" `...)
	b = strconv.AppendInt(b, int64(r.Status), 10)
	b = strconv.AppendInt(append(b, ' '), r.Bytes, 10)
	b = plain(append(b, ` "`...), orDash(r.Referer))
	b = plain(append(b, `" "`...), orDash(r.UserAgent))
	return append(b, "\"\n"...)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// plain writes printable ASCII, and the rest as \xHH, as nginx does: a line
// must end nowhere but at its end.
func plain(b []byte, v string) []byte {
	for i := range min(len(v), maxText) {
		if c := v[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			b = append(b, '\\', 'x', hex[c>>4], hex[c&15])
		} else {
			b = append(b, c)
		}
	}
	return b
}
