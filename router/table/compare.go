package table

import "github.com/dinp/dinp/common/route"

// Equal reports whether two tables hold the same routes, whatever their versions.
func Equal(a, b *Table) bool {
	if a.hosts.size != b.hosts.size || a.domains.size != b.domains.size {
		return false
	}
	same := true
	a.hosts.eachChanged(&b.hosts, func(host string, x *Backend) {
		y := b.Host(host)
		same = same && y != nil && (x == y || x.equal(y))
	})
	a.domains.eachChanged(&b.domains, func(domain, target string) {
		other, ok := b.domains.find(domain)
		same = same && ok && other == target
	})
	return same
}

// Changed returns the backends of from that to has no more, or has otherwise.
// It costs what differs, not what the tables hold.
func Changed(from, to *Table) []*Backend {
	var out []*Backend
	from.hosts.eachChanged(&to.hosts, func(host string, b *Backend) {
		if to.Host(host) != b {
			out = append(out, b)
		}
	})
	return out
}

// Withdrawn counts the routes that from serves and to would not: hosts that
// lose all endpoints or go, and custom domains that go. Of is all that from
// serves; the mass withdrawal guard compares the two.
func Withdrawn(from, to *Table) (gone, of int) {
	from.hosts.eachChanged(&to.hosts, func(host string, b *Backend) {
		if now := to.Host(host); b.serves() && (now == nil || !now.serves()) {
			gone++
		}
	})
	from.domains.eachChanged(&to.domains, func(domain, _ string) {
		if _, ok := to.domains.find(domain); !ok {
			gone++
		}
	})
	return gone, from.serving + from.domains.size
}

// Hold returns to, plus every route of from that to withdraws, under from's
// version: nothing is acknowledged that was not done. What to adds or changes
// is in it. A held endpoint whose address to gives to another app is left out,
// because a visitor must never meet the wrong app.
func Hold(from, to *Table) *Table {
	e := edit(to, from.version)
	claimed := claims(to)
	from.hosts.eachChanged(&to.hosts, func(host string, b *Backend) {
		if now := to.Host(host); b.serves() && (now == nil || !now.serves()) {
			e.setHost(b.without(claimed))
		}
	})
	from.domains.eachChanged(&to.domains, func(domain, target string) {
		if _, ok := to.domains.find(domain); !ok {
			e.setDomain(domain, target)
		}
	})
	return e.done()
}

func claims(t *Table) map[string]bool {
	out := map[string]bool{}
	t.hosts.each(func(_ string, b *Backend) bool {
		for _, e := range b.Endpoints() {
			out[e.Addr] = true
		}
		return true
	})
	return out
}

func (b *Backend) without(claimed map[string]bool) *Backend {
	all := b.Endpoints()
	kept := make([]route.Endpoint, 0, len(all))
	for _, e := range all {
		if !claimed[e.Addr] {
			kept = append(kept, e)
		}
	}
	if len(kept) == len(all) {
		return b
	}
	c := *b
	c.endpoints = pack(kept)
	return &c
}
