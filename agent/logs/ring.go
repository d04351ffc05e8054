package logs

import (
	"bufio"
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/dinp/dinp/agent/runtime"
)

// The two files of a ring. When the first is full it takes the second's place.
const (
	newerFile = "0.log"
	olderFile = "1.log"
)

// ring is the kept output of one instance, and those who listen to it.
type ring struct {
	dir string
	max int64 // bytes of one file

	mu    sync.Mutex // guards all below, and the files
	file  *os.File   // newerFile, open while lines come in
	size  int64
	last  time.Time // of the last line kept
	same  int       // how many lines at the end have that time
	ended bool      // no more lines will come
	subs  map[*subscriber]bool
}

// openRing finds out where an earlier agent left off.
func openRing(dir string, maxBytes int64) (*ring, error) {
	r := &ring{dir: dir, max: maxBytes, subs: map[*subscriber]bool{}}
	if err := mend(filepath.Join(dir, newerFile)); err != nil {
		return nil, err
	}
	lines, err := r.read()
	if err != nil {
		return nil, err
	}
	for _, l := range lines {
		r.note(l.At)
	}
	return r, nil
}

// mend cuts a line that the machine's stop left unfinished.
func mend(path string) error {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if whole := int64(bytes.LastIndexByte(b, '\n') + 1); err == nil && whole < int64(len(b)) {
		err = os.Truncate(path, whole)
	}
	return err
}

func (r *ring) note(at time.Time) {
	if at.Equal(r.last) {
		r.same++
	} else {
		r.last, r.same = at, 1
	}
}

// resume returns from when to ask the engine for more, and a func that drops
// the lines of that very instant which are kept already: the engine's "since"
// includes it, and lines may share it.
func (r *ring) resume() (since time.Time, fresh func(runtime.Line) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	last, known := r.last, r.same
	return last, func(l runtime.Line) bool {
		if l.At.Equal(last) && known > 0 {
			known--
			return false
		}
		return !l.At.Before(last)
	}
}

// append keeps a line and hands it to the listeners.
func (r *ring) append(l runtime.Line) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.note(l.At)
	for s := range r.subs {
		s.put(l)
	}
	return r.write(encode(l))
}

func (r *ring) write(b []byte) error {
	if r.file != nil && r.size+int64(len(b)) > r.max {
		if err := r.rotate(); err != nil {
			return err
		}
	}
	if r.file == nil {
		if err := r.open(); err != nil {
			return err
		}
	}
	n, err := r.file.Write(b)
	r.size += int64(n)
	return err
}

func (r *ring) open() error {
	if err := os.MkdirAll(r.dir, 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(r.dir, newerFile), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	r.file, r.size = f, info.Size()
	return nil
}

func (r *ring) rotate() error {
	err := r.file.Close()
	r.file = nil
	return errors.Join(err, os.Rename(filepath.Join(r.dir, newerFile), filepath.Join(r.dir, olderFile)))
}

// end closes the file; with final it also tells the listeners that nothing more will come.
func (r *ring) end(final bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.file != nil {
		_ = r.file.Close() // written with write(2) already: nothing is lost
		r.file = nil
	}
	if !final {
		return
	}
	r.ended = true
	for s := range r.subs {
		s.close()
	}
	r.subs = map[*subscriber]bool{}
}

// lines returns what is kept, the last n (0: all) at since or later. A
// subscriber that is given misses nothing after them; one that comes too late
// is closed.
func (r *ring) lines(n int, since time.Time, sub *subscriber) ([]runtime.Line, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	lines, err := r.read()
	if err != nil {
		return nil, err
	}
	if sub != nil {
		if r.ended {
			sub.close()
		} else {
			r.subs[sub] = true
		}
	}
	for len(lines) > 0 && lines[0].At.Before(since) {
		lines = lines[1:]
	}
	if n > 0 && len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return lines, nil
}

func (r *ring) unsubscribe(s *subscriber) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.subs, s)
}

func (r *ring) read() ([]runtime.Line, error) {
	var out []runtime.Line
	for _, name := range []string{olderFile, newerFile} {
		b, err := os.ReadFile(filepath.Join(r.dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for s := bufio.NewReader(bytes.NewReader(b)); ; {
			text, err := s.ReadString('\n')
			if err != nil {
				break
			}
			if l, ok := decode(text); ok {
				out = append(out, l)
			}
		}
	}
	return out, nil
}

// encode writes a line as "unix nanoseconds, o or e, text".
func encode(l runtime.Line) []byte {
	stream := byte('o')
	if l.Stderr {
		stream = 'e'
	}
	b := strconv.AppendInt(make([]byte, 0, len(l.Text)+24), l.At.UnixNano(), 10)
	b = append(b, ' ', stream, ' ')
	b = append(b, strings.ReplaceAll(l.Text, "\n", " ")...)
	return append(b, '\n')
}

// decode is the inverse of encode; ok is false for what encode never writes.
func decode(s string) (l runtime.Line, ok bool) {
	at, rest, ok1 := strings.Cut(strings.TrimSuffix(s, "\n"), " ")
	stream, text, ok2 := strings.Cut(rest, " ")
	n, err := strconv.ParseInt(at, 10, 64)
	if err != nil || !ok1 || !ok2 || (stream != "o" && stream != "e") {
		return l, false
	}
	return runtime.Line{At: time.Unix(0, n).UTC(), Stderr: stream == "e", Text: text}, true
}
