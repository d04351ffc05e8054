package table

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

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
// the rest, then JSON. Equal tables give equal bytes. It is made piece by piece:
// a map of all values, and a copy of the whole, would take three times the memory.
func EncodeSnapshot(t *Table) []byte {
	all := t.sorted()
	blank := snapshotMagic + sum(nil) + "\n"
	out := append(make([]byte, 0, len(blank)+sizeOf(t)), blank...)
	out = append(out, `{"version":`...)
	out = append(out, quoted(t.version)...)
	out = append(out, `,"entries":{`...)
	for i, e := range all {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(append(out, quoted(e.key)...), ':')
		value := e.target
		if e.backend != nil {
			value = route.EncodeBackend(e.backend.Route())
		}
		out = append(out, quoted(value)...)
	}
	out = append(out, "}}"...)
	copy(out[len(snapshotMagic):], sum(out[len(blank):]))
	return out
}

// entry is a key as in Redis, and what stands under it: a backend, or the host
// that a domain leads to.
type entry struct {
	key     string
	backend *Backend
	target  string
}

// sorted are all entries of the table by key.
func (t *Table) sorted() []entry {
	all := make([]entry, 0, t.hosts.size+t.domains.size)
	t.hosts.each(func(host string, b *Backend) bool {
		all = append(all, entry{key: route.BackendPrefix + host, backend: b})
		return true
	})
	t.domains.each(func(domain, target string) bool {
		all = append(all, entry{key: route.DomainPrefix + domain, target: target})
		return true
	})
	slices.SortFunc(all, func(a, b entry) int { return strings.Compare(a.key, b.key) })
	return all
}

// sizeOf is about how many bytes a table takes on disk, as a capacity: packed
// endpoints are five times as long in words.
func sizeOf(t *Table) int {
	size := 256 * (t.hosts.size + t.domains.size)
	t.hosts.each(func(_ string, b *Backend) bool {
		size += 5 * len(b.endpoints)
		return true
	})
	return size
}

// quoted is v in JSON.
func quoted(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("table: encode snapshot: " + err.Error()) // strings and numbers: cannot happen
	}
	return b
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
