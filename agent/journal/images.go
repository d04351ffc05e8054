package journal

import (
	"errors"
	"io/fs"
	"time"
)

const (
	imagesFile = "images.json"
	neededFile = "needed-images.json"
)

// Images reads which images this node has used, and when last. What cannot be read
// is none: then images stay on the host that could go.
func (j *Journal) Images() map[string]time.Time {
	used := map[string]time.Time{}
	if !j.readList(imagesFile, &used) {
		return map[string]time.Time{}
	}
	return used
}

// Needed reads which images a leader last called needed. What cannot be read is
// none: then those used last stay.
func (j *Journal) Needed() []string {
	var needed []string
	if !j.readList(neededFile, &needed) {
		return nil
	}
	return needed
}

// readList reads what may be missing; false when it cannot be read, which is said.
func (j *Journal) readList(path string, v any) bool {
	if j.files == nil {
		return false
	}
	err := j.readJSON(path, v)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		j.log.Error("journal unreadable", "file", path, "err", err)
	}
	return err == nil
}

// PutImages writes which images this node has used. It need not survive the
// machine's sudden end.
func (j *Journal) PutImages(used map[string]time.Time) error { return j.putList(imagesFile, used) }

// PutNeeded writes which images are needed, as PutImages does.
func (j *Journal) PutNeeded(images []string) error { return j.putList(neededFile, images) }

func (j *Journal) putList(path string, v any) error {
	if j.files == nil {
		return nil
	}
	return j.writeJSON(path, v, false)
}
