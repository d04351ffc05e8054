package builder

import (
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/dinp/dinp/builder/image"
	"github.com/dinp/dinp/common/model"
)

// workFolder is the builder's place on the disk: a folder per build under way, and nothing else that lasts but its id and
// the larder.
type workFolder struct {
	builds string
	larder *image.Larder
	id     string // stays the same over restarts
	lock   *os.File
}

// openWorkFolder makes the folder and takes it for this process alone: the start removes what stands in it.
func openWorkFolder(dir string, larder int64) (*workFolder, error) {
	f := &workFolder{builds: filepath.Join(dir, "builds")}
	if err := os.MkdirAll(f.builds, 0o700); err != nil {
		return nil, model.E(model.CodeBadConfig, "builder: work_dir: %v", err).WithNext("set work_dir to a folder that can be written")
	}
	var err error
	if f.lock, err = os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.lock.Close()
		return nil, model.E(model.CodeConflict, "another builder works in %s", dir).WithNext("stop it, or set work_dir to another folder")
	}
	f.id, err = keptID(filepath.Join(dir, "id"))
	if err == nil {
		f.larder, err = image.OpenLarder(filepath.Join(dir, "larder"), larder)
	}
	if err != nil {
		f.lock.Close()
		return nil, err
	}
	return f, nil
}

// keptID reads the id in the file, or makes one.
func keptID(path string) (string, error) {
	b, err := os.ReadFile(path)
	if id := strings.TrimSpace(string(b)); err == nil && id != "" {
		return id, nil
	}
	id := "builder-" + strings.ToLower(rand.Text()[:12])
	return id, os.WriteFile(path, []byte(id+"\n"), 0o600)
}

// make makes a folder for one attempt at a build. A builder may lose a build and claim it again before the first attempt
// has noticed: the first one's end must not remove what the second one works in.
func (f *workFolder) make(build string) (string, error) {
	dir, err := os.MkdirTemp(f.builds, filepath.Base(build)+"-")
	if err != nil {
		return "", err
	}
	return dir, os.Mkdir(filepath.Join(dir, "tree"), 0o700)
}

// What a build needs of the disk, in sizes of its artifact: the artifact, the files in it, their layer, and as much again
// for archives that pack well; an archive that packs better still is stopped by the limits of unpacking. The first is there
// once it is fetched.
const (
	roomToBegin  = 4
	roomToUnpack = 3
)

// room refuses work for which the disk has no room: better an error now than in the middle. What the larder holds gives way.
func (f *workFolder) room(need int64) error {
	free, err := f.free()
	if err == nil && free < need {
		if err = f.larder.Empty(); err == nil {
			free, err = f.free()
		}
	}
	if err != nil || free >= need {
		return err
	}
	return model.E(model.CodeDiskFull, "the builder's disk has %s free; this build may need %s", size(free), size(need)).
		WithStill("nothing was changed; other builders may have room").
		WithNext("free space where the builder's work_dir is, then deploy again: what was uploaded is kept")
}

// free is how many bytes the disk has left.
func (f *workFolder) free() (int64, error) {
	var fs syscall.Statfs_t
	err := syscall.Statfs(f.builds, &fs)
	return int64(fs.Bavail) * int64(fs.Bsize), err
}

// empty removes the folders of all builds.
func (f *workFolder) empty() error {
	return errors.Join(os.RemoveAll(f.builds), os.MkdirAll(f.builds, 0o700))
}

// close lets another builder take the folder.
func (f *workFolder) close() { f.lock.Close() }
