// Package table is the route table of a router as an immutable value: which
// backend answers for a host. It builds tables from what Redis holds, applies
// the leader's batches, compares tables, and has their form on disk.
//
// It is pure: no I/O, clock, lock or log. The source builds tables, the proxy
// looks hosts up. A value that cannot be read is reported as a Bad and never
// fatal: what was known of that key stays.
package table

import (
	"fmt"
	"slices"
	"strings"

	"github.com/dinp/dinp/common/route"
)

// Backend is an app's set of endpoints under the host it answers for. It is
// shared between tables and must not be changed.
type Backend struct {
	Host string
	route.Backend
}

// serves reports whether the backend is a route worth guarding: something
// answers for it, if only a maintenance page that was asked for.
func (b *Backend) serves() bool { return len(b.Endpoints) > 0 || b.Maintenance }

// Bad is a key whose value could not be used.
type Bad struct {
	Key string
	Err error
}

// String returns the key and what is wrong with its value.
func (b Bad) String() string { return fmt.Sprintf("%s: %v", b.Key, b.Err) }

// Table maps hosts to backends. It never changes; Apply and Build return new
// ones. The zero Table is empty.
type Table struct {
	version route.Version
	hosts   index[*Backend]
	domains index[string] // custom domain → app host
	serving int           // hosts whose backend serves
}

// Empty returns a table without routes, of the zero version.
func Empty() *Table { return &Table{} }

// Version returns the leader's write that the table reflects.
func (t *Table) Version() route.Version { return t.version }

// Len returns the number of app hosts and of custom domains.
func (t *Table) Len() (hosts, domains int) { return t.hosts.size, t.domains.size }

// Lookup returns the backend of a host in the form of Canon, or nil. An app's
// own host wins over a custom domain of the same name.
func (t *Table) Lookup(host string) *Backend {
	if b, ok := t.hosts.find(host); ok {
		return b
	}
	if target, ok := t.domains.find(host); ok {
		b, _ := t.hosts.find(target)
		return b
	}
	return nil
}

// Host returns the backend of exactly this app host, or nil.
func (t *Table) Host(host string) *Backend {
	b, _ := t.hosts.find(host)
	return b
}

// Backends returns all backends, sorted by host.
func (t *Table) Backends() []*Backend {
	out := make([]*Backend, 0, t.hosts.size)
	t.hosts.each(func(_ string, b *Backend) bool { out = append(out, b); return true })
	slices.SortFunc(out, func(a, b *Backend) int { return strings.Compare(a.Host, b.Host) })
	return out
}

// Domains returns a copy of all custom domains with the app host of each.
func (t *Table) Domains() map[string]string {
	out := make(map[string]string, t.domains.size)
	t.domains.each(func(k, v string) bool { out[k] = v; return true })
	return out
}

// Build makes the table of all entries, Redis key → value. Backends equal to
// prev's are prev's own, and a key whose value is bad keeps what prev has.
func Build(v route.Version, entries map[string]string, prev *Table) (*Table, []Bad) {
	e := edit(Empty(), v)
	var bad []Bad
	for key, value := range entries {
		if err := e.put(prev, key, value); err != nil {
			bad = append(bad, Bad{Key: key, Err: err})
			e.keep(prev, key)
		}
	}
	slices.SortFunc(bad, func(a, b Bad) int { return strings.Compare(a.Key, b.Key) })
	return e.done(), bad
}

// Apply returns the table after a batch. A change that cannot be read is
// reported and leaves its key as it was.
func (t *Table) Apply(b route.Batch) (*Table, []Bad) {
	e := edit(t, b.Version)
	var bad []Bad
	for _, c := range b.Changes {
		if c.Value == nil {
			e.drop(c.Key)
			continue
		}
		if err := e.put(t, c.Key, *c.Value); err != nil {
			bad = append(bad, Bad{Key: c.Key, Err: err})
		}
	}
	return e.done(), bad
}
