package journal

import (
	"errors"
	"io/fs"
	"time"
)

const imagesFile = "images.json"

// Images reads which images this node has used, and when last. What cannot be read
// is none: then images stay on the host that could go.
func (j *Journal) Images() map[string]time.Time {
	used := map[string]time.Time{}
	if j.files == nil {
		return used
	}
	if err := j.readJSON(imagesFile, &used); err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			j.log.Error("journal unreadable", "file", imagesFile, "err", err)
		}
		return map[string]time.Time{}
	}
	return used
}

// PutImages writes which images this node has used. It need not survive the
// machine's sudden end.
func (j *Journal) PutImages(used map[string]time.Time) error {
	if j.files == nil {
		return nil
	}
	return j.writeJSON(imagesFile, used, false)
}
