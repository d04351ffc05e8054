// Package table is the route table of a router as an immutable value: which
// backend answers for a host and a path. It builds tables from what Redis holds, applies
// the leader's batches, compares tables, and has their form on disk.
//
// It is pure: no I/O, clock, lock or log. The source builds tables, the proxy
// looks hosts up. A value that cannot be read is reported as a Bad and never
// fatal: what was known of that key stays.
package table

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/route"
	"github.com/dinp/dinp/router/rules"
)

// Backend is an app's set of endpoints under the host it answers for. It is
// shared between tables and must not be changed.
type Backend struct {
	Host        string
	App         string
	Maintenance bool
	Settings    *model.Routing // nil: none
	Rules       *rules.Rules   // the settings, compiled; nil: none
	drain       model.Duration // 0: the default
	endpoints   packed
}

// Endpoints returns the endpoints, unpacked anew for each call.
func (b *Backend) Endpoints() []route.Endpoint { return b.endpoints.unpack() }

// Route returns the backend as it stands in Redis.
func (b *Backend) Route() route.Backend {
	return route.Backend{App: b.App, Maintenance: b.Maintenance, Endpoints: b.Endpoints(), Settings: b.Settings, Drain: b.drain}
}

// Drain is how long upgraded connections may go on after their endpoint has left.
func (b *Backend) Drain() time.Duration { return time.Duration(cmp.Or(b.drain, model.DefaultDrain)) }

// serves reports whether the backend is a route worth guarding: something
// answers for it, if only a maintenance page that was asked for.
func (b *Backend) serves() bool { return b.endpoints != "" || b.Maintenance }

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
	domains index[string]      // custom domain as in Redis → app host
	wild    index[string]      // of the domains with a star and no path: what follows the star → app host
	paths   index[[]pathRoute] // of the domains with a path: host, or what follows the star → longest first
	serving int                // hosts whose backend serves
}

// pathRoute sends a path and all below it to an app host.
type pathRoute struct{ prefix, target string }

// Empty returns a table without routes, of the zero version.
func Empty() *Table { return &Table{} }

// Version returns the leader's write that the table reflects.
func (t *Table) Version() route.Version { return t.version }

// Len returns the number of app hosts and of custom domains.
func (t *Table) Len() (hosts, domains int) { return t.hosts.size, t.domains.size }

// Lookup returns the backend for a host in the form of Canon and a path as the
// client wrote it, without the query; nil when there is none. The host's own
// entries win over a wildcard's. Among those of one host the longest path
// prefix wins, then the app's own host, then a custom domain of the same name.
// It takes no lock and allocates nothing.
func (t *Table) Lookup(host, path string) *Backend {
	if t.paths.size > 0 {
		if b := t.byPath(host, path); b != nil {
			return b
		}
	}
	if b, ok := t.hosts.find(host); ok {
		return b
	}
	if target, ok := t.domains.find(host); ok {
		return t.Host(target)
	}
	if t.wild.size == 0 && t.paths.size == 0 {
		return nil
	}
	return t.byParent(host, path)
}

// byParent looks a host up by what follows its first label.
func (t *Table) byParent(host, path string) *Backend {
	i := strings.IndexByte(host, '.')
	if i < 0 {
		return nil
	}
	if t.paths.size > 0 {
		if b := t.byPath(host[i:], path); b != nil {
			return b
		}
	}
	target, ok := t.wild.find(host[i:])
	if !ok {
		return nil
	}
	return t.Host(target)
}

func (t *Table) byPath(host, path string) *Backend {
	routes, _ := t.paths.find(host)
	for _, r := range routes {
		if covers(r.prefix, path) {
			return t.Host(r.target)
		}
	}
	return nil
}

// covers reports whether path is prefix or lies below it: /api covers /api and
// /api/x, but not /apix.
func covers(prefix, path string) bool {
	return strings.HasPrefix(path, prefix) && (len(path) == len(prefix) || path[len(prefix)] == '/')
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
	return BuildFrom(v, maps.All(entries), prev)
}

// BuildFrom is Build of entries that come in any order, in their own time.
func BuildFrom(v route.Version, entries iter.Seq2[string, string], prev *Table) (*Table, []Bad) {
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
