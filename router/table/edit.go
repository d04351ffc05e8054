package table

import (
	"fmt"
	"slices"
	"strings"

	"github.com/dinp/dinp/common/route"
)

// editor is a table being made. It shares every shard it does not touch.
type editor struct {
	version route.Version
	hosts   writer[*Backend]
	domains writer[string]
	serving int
}

func edit(t *Table, v route.Version) *editor {
	e := &editor{version: v, serving: t.serving}
	e.hosts.index, e.domains.index = t.hosts, t.domains
	return e
}

func (e *editor) done() *Table {
	return &Table{version: e.version, hosts: e.hosts.index, domains: e.domains.index, serving: e.serving}
}

// put sets one Redis key. A backend equal to prev's is taken from there, so
// that comparing two tables later is comparing pointers.
func (e *editor) put(prev *Table, key, value string) error {
	host, isBackend, err := parseKey(key)
	if err != nil {
		return err
	}
	if !isBackend {
		return e.putDomain(host, value)
	}
	rb, err := route.DecodeBackend(value)
	if err != nil {
		return err
	}
	if rb.Endpoints == nil { // one form for "none", so that equal tables have equal bytes
		rb.Endpoints = []route.Endpoint{}
	}
	b := &Backend{Host: host, Backend: rb}
	if old := prev.Host(host); old != nil && old.equal(b) {
		b = old
	}
	e.setHost(b)
	return nil
}

func (e *editor) putDomain(domain, target string) error {
	if canon, ok := Canon(target); !ok || canon != target {
		return fmt.Errorf("target %.80q is not a host", target)
	}
	e.domains.set(domain, target)
	return nil
}

// keep takes over what prev has under a Redis key, if anything.
func (e *editor) keep(prev *Table, key string) {
	host, isBackend, err := parseKey(key)
	switch {
	case err != nil:
	case isBackend:
		if b := prev.Host(host); b != nil {
			e.setHost(b)
		}
	default:
		if target, ok := prev.domains.find(host); ok {
			e.domains.set(host, target)
		}
	}
}

func (e *editor) drop(key string) {
	host, isBackend, err := parseKey(key)
	switch {
	case err != nil:
	case isBackend:
		e.uncount(host)
		e.hosts.del(host)
	default:
		e.domains.del(host)
	}
}

func (e *editor) setHost(b *Backend) {
	e.uncount(b.Host)
	if b.serves() {
		e.serving++
	}
	e.hosts.set(b.Host, b)
}

func (e *editor) uncount(host string) {
	if old, ok := e.hosts.find(host); ok && old.serves() {
		e.serving--
	}
}

func (b *Backend) equal(c *Backend) bool {
	return b.Host == c.Host && b.App == c.App && b.Maintenance == c.Maintenance && slices.Equal(b.Endpoints, c.Endpoints)
}

// parseKey splits a Redis key into the host and whether it is an app's.
func parseKey(key string) (host string, isBackend bool, err error) {
	host, isBackend = strings.CutPrefix(key, route.BackendPrefix)
	if !isBackend {
		var isDomain bool
		if host, isDomain = strings.CutPrefix(key, route.DomainPrefix); !isDomain {
			return "", false, fmt.Errorf("key %.80q is neither a host nor a domain", key)
		}
	}
	if canon, ok := Canon(host); !ok || canon != host {
		return "", false, fmt.Errorf("%.80q is not a host in canonical form", host)
	}
	return host, isBackend, nil
}
