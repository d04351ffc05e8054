package access

import (
	"os"
	"time"
)

// File is a log file that may be moved away, as logrotate does: what is written
// then goes to a new one of its name. Its methods are called one at a time.
type File struct {
	path   string
	every  time.Duration // how often to look whether it is still there
	looked time.Time
	file   *os.File
}

// OpenFile opens a file to append to, or makes it.
func OpenFile(path string) (*File, error) {
	f, err := openLog(path)
	if err != nil {
		return nil, err
	}
	return &File{path: path, every: time.Second, looked: time.Now(), file: f}, nil
}

func openLog(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
}

// Write appends lines.
func (f *File) Write(b []byte) (int, error) {
	if now := time.Now(); now.Sub(f.looked) >= f.every {
		f.looked = now
		f.follow()
	}
	return f.file.Write(b)
}

// follow takes a new file if ours is no longer at its path. As long as there
// can be none, the lines go where they went.
func (f *File) follow() {
	ours, err := f.file.Stat()
	if err != nil {
		return
	}
	if there, err := os.Stat(f.path); err == nil && os.SameFile(ours, there) {
		return
	}
	if next, err := openLog(f.path); err == nil {
		f.file.Close()
		f.file = next
	}
}

// Close closes it.
func (f *File) Close() error { return f.file.Close() }
