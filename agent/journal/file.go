package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// files is where a journal lies: a folder, or a Disk in memory. A read of what is
// not there is fs.ErrNotExist; a removal of it is none.
type files interface {
	read(path string) ([]byte, error)
	write(path string, b []byte, lasting bool) error
	rename(from, to string) error
	remove(path string) error
	list(dir string) ([]file, error)
}

// file is one entry of a list.
type file struct {
	name string
	at   time.Time // last written
}

// folder is a folder of the machine.
type folder string

func (d folder) read(path string) ([]byte, error) { return os.ReadFile(filepath.Join(string(d), path)) }

func (d folder) write(path string, b []byte, lasting bool) error {
	return writeFile(filepath.Join(string(d), path), b, lasting)
}

func (d folder) rename(from, to string) error {
	return os.Rename(filepath.Join(string(d), from), filepath.Join(string(d), to))
}

func (d folder) remove(path string) error {
	if err := os.Remove(filepath.Join(string(d), path)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (d folder) list(dir string) ([]file, error) {
	entries, err := os.ReadDir(filepath.Join(string(d), dir))
	if err != nil {
		return nil, err
	}
	out := make([]file, 0, len(entries))
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			return nil, err
		}
		out = append(out, file{name: e.Name(), at: info.ModTime()})
	}
	return out, nil
}

// writeFile replaces path so that it holds the old bytes or the new, never a
// part, whenever the process stops; with lasting also whenever the machine
// does, and so that the new ones stay once it returned, which takes syncing the
// folder too.
func writeFile(path string, b []byte, lasting bool) error {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil && lasting {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	if !lasting {
		return nil
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// acquire holds a lock on path for as long as the file is open: the kernel lets
// go of it when the process ends, however it ends.
func acquire(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("data folder %s is in use by another agent: %w", filepath.Dir(path), err)
	}
	return f, nil
}
