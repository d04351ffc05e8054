package image

import (
	"encoding/json"
	"errors"
	"io"
)

// message is one line of the engine's progress reports.
type message struct {
	Stream string          `json:"stream"`
	Error  string          `json:"error"`
	Aux    json.RawMessage `json:"aux"`
}

// readStream reads a report to its end. The engine answers 200 first and reports failures in the stream.
func readStream(r io.Reader, each func(message)) error {
	for d := json.NewDecoder(r); ; {
		var m message
		switch err := d.Decode(&m); {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		case m.Error != "":
			return errors.New(m.Error)
		}
		each(m)
	}
}

// lines cuts a stream of pieces into whole lines. Long ones are cut: one line must not fill the memory.
type lines struct {
	say  func(string)
	rest []byte
}

const maxLine = 4 << 10

func (l *lines) add(s string) {
	for i := range len(s) {
		if s[i] == '\n' {
			l.flush()
		} else if len(l.rest) < maxLine {
			l.rest = append(l.rest, s[i])
		}
	}
}

func (l *lines) flush() {
	if line := plain(string(l.rest)); line != "" {
		l.say(line)
	}
	l.rest = l.rest[:0]
}
