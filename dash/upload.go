package dash

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/dinp/dinp/common/model"
)

// Limits of uploads that can be resumed.
const (
	uploadTime     = 24 * time.Hour // after which an unfinished one is dropped
	uploadsPerUser = 10
	sweepPeriod    = 10 * time.Minute
)

// upload is one that can be resumed: a line of JSON beside the bytes so far,
// whose number is the offset.
type upload struct {
	ID        string    `json:"id"`
	Owner     string    `json:"owner"` // user ID
	Filename  string    `json:"filename"`
	Length    int64     `json:"length"`
	SHA256    string    `json:"sha256,omitempty"` // as the client said; "" when it did not
	CreatedAt time.Time `json:"created_at"`
	Artifact  string    `json:"artifact,omitempty"` // once finished, so that a lost answer can be asked for again

	Parts []uploadPart `json:"parts,omitempty"` // of the file, when only those that are missing here are sent
	From  []string     `json:"from,omitempty"`  // artifacts that have the others
}

// size is that of the whole file.
func (u upload) size() int64 {
	if u.Parts == nil {
		return u.Length
	}
	n := int64(0)
	for _, p := range u.Parts {
		n += p.Size
	}
	return n
}

// uploadStore keeps uploads as files. One request at a time writes to an upload, of all dashes that share the folder: a lock
// of the file system says so, which must therefore have such locks (a local one, or NFS 4).
type uploadStore struct {
	dir   string
	limit int64

	mu   sync.Mutex // guards busy
	busy map[string]bool
}

var uploadID = regexp.MustCompile(`^[A-Z2-7]{26}$`) // as rand.Text makes them; it names files

func newUploadStore(dir string, limit int64) *uploadStore {
	return &uploadStore{dir: dir, limit: limit, busy: map[string]bool{}}
}

func (s *uploadStore) meta(id string) string { return filepath.Join(s.dir, id+".json") }
func (s *uploadStore) part(id string) string { return filepath.Join(s.dir, id+".part") }

// create begins an upload.
func (s *uploadStore) create(u upload) (upload, error) {
	switch {
	case u.Length <= 0:
		return u, model.E(model.CodeBadRequest, "Upload-Length is %d; it must be the number of bytes of the file", u.Length)
	case u.Length > s.limit:
		return u, tooLarge(s.limit)
	}
	open, err := s.list()
	if err != nil {
		return u, err
	}
	n := 0
	for _, o := range open {
		if o.Owner == u.Owner && o.Artifact == "" {
			n++
		}
	}
	if n >= uploadsPerUser {
		return u, model.E(model.CodeTooMany, "you have %d unfinished uploads; at most %d are kept", n, uploadsPerUser).
			WithNext("finish or delete one; they end by themselves after %s", uploadTime)
	}
	u.ID, u.CreatedAt = rand.Text(), time.Now().UTC()
	if err := os.WriteFile(s.part(u.ID), nil, 0o600); err != nil {
		return u, diskError(err)
	}
	return u, s.save(u)
}

// save writes by rename: a crash leaves the old line or the new one.
func (s *uploadStore) save(u upload) error {
	b, err := json.Marshal(u)
	if err != nil {
		return err
	}
	tmp := s.meta(u.ID) + ".tmp"
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return diskError(err)
	}
	return os.Rename(tmp, s.meta(u.ID))
}

// find returns an upload of owner's and how many bytes of it are there.
func (s *uploadStore) find(id, owner string) (u upload, offset int64, err error) {
	none := noUpload(id)
	if !uploadID.MatchString(id) {
		return u, 0, none
	}
	b, err := os.ReadFile(s.meta(id))
	if errors.Is(err, fs.ErrNotExist) {
		return u, 0, none
	}
	if err != nil {
		return u, 0, err
	}
	if err := json.Unmarshal(b, &u); err != nil {
		return u, 0, fmt.Errorf("upload %s: %w", id, err)
	}
	if u.Owner != owner {
		return upload{}, 0, none
	}
	if u.Artifact != "" {
		return u, u.Length, nil
	}
	info, err := os.Stat(s.part(id))
	if err != nil {
		return u, 0, fmt.Errorf("upload %s: %w", id, err)
	}
	return u, info.Size(), nil
}

// lock keeps other requests from an upload until unlock is called.
func (s *uploadStore) lock(id string) (unlock func(), err error) {
	if _, err := os.Stat(s.meta(id)); !uploadID.MatchString(id) || errors.Is(err, fs.ErrNotExist) {
		return nil, noUpload(id)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := model.E(model.CodeConflict, "another request is writing to upload %s", clip(id, 40)).WithNext("wait for its end, then ask for the offset again")
	if s.busy[id] {
		return nil, taken
	}
	f, err := os.OpenFile(filepath.Join(s.dir, id+".lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, diskError(err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, taken
		}
		return nil, diskError(err)
	}
	s.busy[id] = true
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		f.Close() // and with it the lock
		delete(s.busy, id)
	}, nil
}

func noUpload(id string) error {
	return model.E(model.CodeNotFound, "there is no upload %q", clip(id, 40)).WithNext("begin a new one: POST /api/v1/artifacts")
}

// write appends to an upload that the caller has locked. Bytes that came before
// an error stay, which is what resuming is for, unless sum is to prove them: then
// all of them count or none. whole gets all that is written, kept or not.
func (s *uploadStore) write(u upload, offset int64, r io.Reader, sum *checksum, whole io.Writer) (int64, error) {
	f, err := os.OpenFile(s.part(u.ID), os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return offset, err
	}
	defer f.Close()
	all := []io.Writer{f, whole}
	if sum != nil {
		all = append(all, sum)
	}
	n, err := io.CopyBuffer(io.MultiWriter(all...), io.LimitReader(r, u.Length-offset), make([]byte, 256<<10))
	if sum != nil && (err != nil || !sum.right()) {
		if terr := f.Truncate(offset); terr != nil {
			return offset, diskError(terr)
		}
		if err == nil {
			err = errDamaged
		}
		n = 0
	}
	offset += n
	if err != nil {
		return offset, uploadError(err, offset, u.Length)
	}
	if more, _ := io.CopyN(io.Discard, r, 1); more > 0 {
		return offset, model.E(model.CodeBadRequest, "the body goes on past Upload-Length, which is %d", u.Length)
	}
	return offset, nil
}

// errDamaged refuses bytes that do not add up to what the client said.
var errDamaged = model.E(model.CodeBadRequest, "the bytes were damaged on their way: their checksum is not the announced one; none of them were kept").
	WithNext("send them again")

// drop removes an upload that the caller has locked.
func (s *uploadStore) drop(id string) error {
	err := os.Remove(s.meta(id)) // first: without it nobody takes the lock any more
	for _, path := range []string{s.part(id), filepath.Join(s.dir, id+".lock")} {
		if rerr := os.Remove(path); !errors.Is(rerr, fs.ErrNotExist) {
			err = errors.Join(err, rerr)
		}
	}
	return err
}

func (s *uploadStore) list() ([]upload, error) {
	files, err := filepath.Glob(filepath.Join(s.dir, "*.json"))
	if err != nil {
		return nil, err
	}
	var out []upload
	for _, f := range files {
		var u upload
		b, err := os.ReadFile(f)
		if errors.Is(err, fs.ErrNotExist) {
			continue // finished meanwhile
		}
		if err == nil {
			err = json.Unmarshal(b, &u)
		}
		if err != nil {
			return nil, fmt.Errorf("upload %s: %w", filepath.Base(f), err)
		}
		out = append(out, u)
	}
	return out, nil
}

// sweep removes what nobody finished, until ctx ends.
func (s *uploadStore) sweep(ctx context.Context, log *slog.Logger) {
	ticker := time.NewTicker(sweepPeriod)
	defer ticker.Stop()
	for {
		if err := s.expire(time.Now()); err != nil {
			log.Warn("old uploads not removed", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// expire removes files nobody has written to for uploadTime, whatever they are
// part of: one rule also covers what a crash left.
func (s *uploadStore) expire(now time.Time) error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	fresh := map[string]bool{} // by name without extension: a line lives as long as its bytes
	var old []string
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			continue // removed meanwhile
		}
		if now.Sub(info.ModTime()) < uploadTime {
			fresh[stem(e.Name())] = true
		} else {
			old = append(old, e.Name())
		}
	}
	var errs []error
	for _, name := range old {
		if !fresh[stem(name)] {
			errs = append(errs, os.Remove(filepath.Join(s.dir, name)))
		}
	}
	return errors.Join(errs...)
}

func stem(name string) string {
	s, _, _ := strings.Cut(name, ".")
	return s
}

// uploadError says that a body broke off, and where, unless the disk did.
func uploadError(err error, got, of int64) error {
	if e := (*model.Error)(nil); errors.As(err, &e) {
		return e
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return diskError(err)
	}
	if of > 0 {
		return model.E(model.CodeBadRequest, "the upload broke off after %d of %d bytes", got, of).WithCause(err).WithNext("send it again; dinp deploy resumes where it stopped")
	}
	return model.E(model.CodeBadRequest, "the upload broke off after %d bytes", got).WithCause(err).WithNext("send it again")
}

func diskError(err error) error {
	return model.E(model.CodeUnavailable, "dash cannot keep the upload on its disk").WithCause(err).
		WithStill("everything but uploads works").WithNext("free space in dash's data directory, then send it again")
}
