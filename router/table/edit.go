package table

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/route"
	"github.com/dinp/dinp/router/rules"
)

// editor is a table being made. It shares every shard it does not touch.
type editor struct {
	version route.Version
	hosts   writer[*Backend]
	domains writer[string]
	wild    writer[string]
	paths   writer[[]pathRoute]
	serving int
}

func edit(t *Table, v route.Version) *editor {
	e := &editor{version: v, serving: t.serving}
	e.hosts.index, e.domains.index, e.wild.index, e.paths.index = t.hosts, t.domains, t.wild, t.paths
	return e
}

func (e *editor) done() *Table {
	return &Table{
		version: e.version, hosts: e.hosts.index, domains: e.domains.index, wild: e.wild.index, paths: e.paths.index, serving: e.serving,
	}
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
	b := newBackend(host, rb)
	if old := prev.Host(host); old != nil && old.equal(b) {
		b = old
	}
	e.setHost(b)
	return nil
}

func newBackend(host string, rb route.Backend) *Backend {
	b := &Backend{Host: host, App: rb.App, Maintenance: rb.Maintenance, drain: rb.Drain, endpoints: pack(rb.Endpoints)}
	if !rb.Settings.Zero() {
		b.Settings, b.Rules = rb.Settings, rules.Compile(rb.App, rb.Settings)
	}
	if strings.HasPrefix(host, b.App+".") { // one string less to keep
		b.App = host[:len(b.App)]
	}
	return b
}

func (e *editor) putDomain(domain, target string) error {
	if canon, ok := Canon(target); !ok || canon != target {
		return fmt.Errorf("target %.80q is not a host", target)
	}
	e.setDomain(domain, target)
	return nil
}

// setDomain sets a custom domain that parseKey has accepted, and what is
// derived from it.
func (e *editor) setDomain(domain, target string) {
	e.domains.set(domain, target)
	switch host, prefix, wild, _ := model.SplitDomain(domain); {
	case prefix != "":
		e.setPath(host, pathRoute{prefix: prefix, target: target})
	case wild:
		e.wild.set(host, target)
	}
}

func (e *editor) dropDomain(domain string) {
	e.domains.del(domain)
	switch host, prefix, wild, _ := model.SplitDomain(domain); {
	case prefix != "":
		e.dropPath(host, prefix)
	case wild:
		e.wild.del(host)
	}
}

func (e *editor) setPath(host string, r pathRoute) {
	old, _ := e.paths.find(host)
	list := withoutPath(old, r.prefix)
	at, _ := slices.BinarySearchFunc(list, r, longestFirst)
	e.paths.set(host, slices.Insert(list, at, r))
}

func (e *editor) dropPath(host, prefix string) {
	old, ok := e.paths.find(host)
	if !ok {
		return
	}
	if list := withoutPath(old, prefix); len(list) > 0 {
		e.paths.set(host, list)
	} else {
		e.paths.del(host)
	}
}

// withoutPath returns a copy: the old list belongs to tables in use.
func withoutPath(list []pathRoute, prefix string) []pathRoute {
	out := make([]pathRoute, 0, len(list)+1)
	for _, r := range list {
		if r.prefix != prefix {
			out = append(out, r)
		}
	}
	return out
}

func longestFirst(a, b pathRoute) int {
	return cmp.Or(cmp.Compare(len(b.prefix), len(a.prefix)), strings.Compare(a.prefix, b.prefix))
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
			e.setDomain(host, target)
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
		e.dropDomain(host)
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
	return b.Host == c.Host && b.App == c.App && b.Maintenance == c.Maintenance && b.drain == c.drain && b.endpoints == c.endpoints &&
		reflect.DeepEqual(b.Settings, c.Settings)
}

// parseKey splits a Redis key into the host, or the custom domain, and whether
// it is an app's.
func parseKey(key string) (host string, isBackend bool, err error) {
	if host, isBackend = strings.CutPrefix(key, route.BackendPrefix); isBackend {
		return host, true, checkHost(host)
	}
	domain, isDomain := strings.CutPrefix(key, route.DomainPrefix)
	if !isDomain {
		return "", false, fmt.Errorf("key %.80q is neither a host nor a domain", key)
	}
	name, _, wild, err := model.SplitDomain(domain)
	if wild {
		name = name[1:]
	}
	if err == nil {
		err = checkHost(name)
	}
	return domain, false, err
}

func checkHost(host string) error {
	if canon, ok := Canon(host); !ok || canon != host {
		return fmt.Errorf("%.80q is not a host in canonical form", host)
	}
	return nil
}
