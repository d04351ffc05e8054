package table

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/dinp/dinp/common/route"
)

// snapshotMagic starts the file; a change of its form changes it.
const snapshotMagic = "dinp-routes-1 "

// snapshot is the body of the file: the same keys and values as in Redis.
type snapshot struct {
	Version route.Version     `json:"version"`
	Entries map[string]string `json:"entries"`
}

// EncodeSnapshot returns the form of a table on disk: a line with the sum of
// the rest, then JSON. Equal tables give equal bytes.
func EncodeSnapshot(t *Table) []byte {
	s := snapshot{Version: t.version, Entries: make(map[string]string, t.hosts.size+t.domains.size)}
	t.hosts.each(func(host string, b *Backend) bool {
		s.Entries[route.BackendPrefix+host] = route.EncodeBackend(b.Route())
		return true
	})
	t.domains.each(func(domain, target string) bool {
		s.Entries[route.DomainPrefix+domain] = target
		return true
	})
	body, err := json.Marshal(s)
	if err != nil {
		panic("table: encode snapshot: " + err.Error()) // strings and numbers: cannot happen
	}
	return append([]byte(snapshotMagic+sum(body)+"\n"), body...)
}

// DecodeSnapshot reads what EncodeSnapshot wrote. It refuses a file that was
// cut, changed or written by something else as a whole: half a table would be
// a mass withdrawal.
func DecodeSnapshot(data []byte) (*Table, error) {
	head, body, ok := bytes.Cut(data, []byte("\n"))
	want, isOurs := bytes.CutPrefix(head, []byte(snapshotMagic))
	if !ok || !isOurs {
		return nil, errors.New("decode snapshot: not a route snapshot")
	}
	if string(want) != sum(body) {
		return nil, errors.New("decode snapshot: checksum differs: the file was cut or changed")
	}
	var s snapshot
	if err := json.Unmarshal(body, &s); err != nil {
		return nil, fmt.Errorf("decode snapshot: %w", err)
	}
	t, bad := Build(s.Version, s.Entries, Empty())
	if len(bad) > 0 {
		return nil, fmt.Errorf("decode snapshot: %v", bad[0])
	}
	return t, nil
}

func sum(body []byte) string {
	h := sha256.Sum256(body)
	return hex.EncodeToString(h[:])
}
