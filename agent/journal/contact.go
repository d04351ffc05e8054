package journal

import (
	"errors"
	"io/fs"
	"time"
)

// Contact is when the node last said something that a leader has heard, by its
// own clock, and after how long without such a word the leader takes the node
// for lost. The zero Contact says that there has been none.
type Contact struct {
	At    time.Time     `json:"at"`
	Limit time.Duration `json:"limit"`
}

const contactFile = "contact.json"

// Contact reads the last contact. One that cannot be read is none: then
// singletons stop.
func (j *Journal) Contact() Contact {
	var c Contact
	if j.files == nil {
		return c
	}
	if err := j.readJSON(contactFile, &c); err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			j.log.Error("journal unreadable", "file", contactFile, "err", err)
		}
		return Contact{}
	}
	return c
}

// PutContact writes the last contact. It need not survive the machine's sudden
// end: no process does.
func (j *Journal) PutContact(c Contact) error {
	if j.files == nil {
		return nil
	}
	return j.writeJSON(contactFile, c, false)
}
