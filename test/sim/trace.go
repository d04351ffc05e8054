package sim

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash"
	"hash/fnv"
	"io"
	"log/slog"
	"strings"
)

// trace is what happened, for people (verbose) and as a hash: two runs of a seed
// must agree in it.
type trace struct {
	s    *scheduler
	out  io.Writer // nil: nobody reads it
	sum  hash.Hash64
	logs bool // the programs' own logs, too
}

func newTrace(s *scheduler, out io.Writer) *trace { return &trace{s: s, out: out, sum: fnv.New64a()} }

// say notes one thing that happened.
func (t *trace) say(who, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	at := t.s.now.Sub(epoch)
	_ = binary.Write(t.sum, binary.LittleEndian, int64(at))
	t.sum.Write([]byte(who))
	t.sum.Write([]byte(text))
	if t.out != nil {
		fmt.Fprintf(t.out, "%10s  %-4s %s\n", seconds(at), who, text)
	}
}

// logger is a program's logger: its lines stand in the trace.
func (t *trace) logger(who string) *slog.Logger {
	if t.out == nil || !t.logs {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(traceHandler{t: t, who: who})
}

type traceHandler struct {
	t    *trace
	who  string
	with string
}

func (h traceHandler) Enabled(context.Context, slog.Level) bool { return true }

func (h traceHandler) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	b.WriteString(r.Message)
	b.WriteString(h.with)
	r.Attrs(func(a slog.Attr) bool { fmt.Fprintf(&b, " %s=%v", a.Key, a.Value); return true })
	fmt.Fprintf(h.t.out, "%10s  %-4s   | %s\n", seconds(h.t.s.now.Sub(epoch)), h.who, b.String())
	return nil
}

func (h traceHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	for _, a := range attrs {
		h.with += fmt.Sprintf(" %s=%v", a.Key, a.Value)
	}
	return h
}

func (h traceHandler) WithGroup(string) slog.Handler { return h }
