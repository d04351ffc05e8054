package docker

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"

	"github.com/dinp/dinp/agent/runtime"
)

// maxFrame bounds one message of the log stream. The engine cuts lines at 16
// KiB; whatever is longer than this is not what we know.
const maxFrame = 1 << 20

// Logs implements runtime.Runtime.
func (d *Docker) Logs(ctx context.Context, instanceID string, since time.Time, follow bool, f func(runtime.Line) error) error {
	c, err := d.Inspect(ctx, instanceID)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if !follow {
		ctx, cancel = context.WithTimeout(ctx, changeTimeout)
		defer cancel()
	}
	body, err := d.api.ContainerLogs(ctx, c.ID, container.LogsOptions{
		ShowStdout: true, ShowStderr: true, Timestamps: true, Follow: follow, Since: sinceText(since),
	})
	if err != nil {
		return meaning(err)
	}
	defer body.Close()
	return readFrames(bufio.NewReader(body), f)
}

func sinceText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return fmt.Sprintf("%d.%09d", t.Unix(), t.Nanosecond())
}

// readFrames reads the engine's log stream: an 8-byte header (which stream,
// how long) before each message. We read it ourselves, message by message,
// because the engine puts the time before every piece of a line it has cut,
// and only the frames tell where the pieces begin.
func readFrames(r io.Reader, f func(runtime.Line) error) error {
	var head [8]byte
	var buf []byte
	for {
		if _, err := io.ReadFull(r, head[:]); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return meaning(err)
		}
		size := binary.BigEndian.Uint32(head[4:])
		if size > maxFrame {
			return fmt.Errorf("log message of %d bytes", size)
		}
		if cap(buf) < int(size) {
			buf = make([]byte, size)
		}
		buf = buf[:size]
		if _, err := io.ReadFull(r, buf); err != nil {
			return meaning(err)
		}
		if err := f(parseLine(head[0] == 2, string(buf))); err != nil {
			return err
		}
	}
}

// parseLine splits "2026-01-02T15:04:05.000000001Z text\n".
func parseLine(stderr bool, s string) runtime.Line {
	at, text, _ := strings.Cut(strings.TrimRight(s, "\r\n"), " ")
	t, err := time.Parse(time.RFC3339Nano, at)
	if err != nil { // no time in front: better the line without it than no line
		return runtime.Line{Stderr: stderr, Text: strings.TrimRight(s, "\r\n")}
	}
	return runtime.Line{At: t, Stderr: stderr, Text: text}
}
