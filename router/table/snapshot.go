package table

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
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
// the rest, then JSON. Equal tables give equal bytes. It is several times as
// long as the table: SnapshotBody has it in pieces.
func EncodeSnapshot(t *Table) []byte {
	head := SnapshotHead(sha256.Sum256(nil))
	out := []byte(head)
	for piece := range SnapshotBody(t) {
		out = append(out, piece...)
	}
	copy(out, SnapshotHead(sha256.Sum256(out[len(head):])))
	return out
}

// SnapshotHead is the first line of a snapshot whose body has that sum. All are
// equally long.
func SnapshotHead(sum [sha256.Size]byte) string {
	return snapshotMagic + hex.EncodeToString(sum[:]) + "\n"
}

// SnapshotBody is what follows the first line, an entry a piece. A piece is
// there until the next is asked for.
func SnapshotBody(t *Table) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		b := append([]byte(`{"version":`), quoted(t.version)...)
		b = append(b, `,"entries":{`...)
		first := true
		for key, value := range t.Entries() {
			if !first {
				b = append(b, ',')
			}
			first = false
			b = append(append(b, quoted(key)...), ':')
			if b = append(b, quoted(value)...); !yield(b) {
				return
			}
			b = b[:0]
		}
		yield(append(b, "}}"...))
	}
}

// Entries are the keys of the table and what stands under them, by key: the same
// as in Redis.
func (t *Table) Entries() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for _, e := range t.sorted() {
			value := e.target
			if e.backend != nil {
				value = route.EncodeBackend(e.backend.Route())
			}
			if !yield(e.key, value) {
				return
			}
		}
	}
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
	if !ok || !bytes.HasPrefix(head, []byte(snapshotMagic)) {
		return nil, errors.New("decode snapshot: not a route snapshot")
	}
	if string(data[:len(head)+1]) != SnapshotHead(sha256.Sum256(body)) {
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
