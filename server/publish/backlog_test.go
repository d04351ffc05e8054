package publish

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/dinp/dinp/common/route"
)

// model is what Redis holds while a backlog is written, and what was last asked for.
type backlogModel struct {
	b        backlog
	want     map[string]string
	redis    map[string]string
	asked    []map[string]string // the wanted table, by revision
	revision uint64
}

// set asks for a change of some keys, as Publisher.Set does.
func (m *backlogModel) set(t *rapid.T) {
	apps := rapid.IntRange(0, 5)
	for range rapid.IntRange(1, 4).Draw(t, "changes") {
		app := fmt.Sprintf("a%d.test", apps.Draw(t, "app"))
		backend, domain := route.BackendPrefix+app, fmt.Sprintf("%sd%d.test", route.DomainPrefix, apps.Draw(t, "domain"))
		switch rapid.IntRange(0, 3).Draw(t, "what") {
		case 0, 1:
			m.want[backend] = strings.Repeat("x", rapid.IntRange(1, 90).Draw(t, "size"))
			m.b.add(backend, m.revision+1)
		case 2:
			if _, there := m.want[backend]; there { // a domain is set with its app
				m.want[domain] = app
				m.b.add(domain, m.revision+1)
			}
		case 3: // an app goes with its domains
			for k, v := range m.want {
				if k == backend || v == app {
					delete(m.want, k)
					m.b.add(k, m.revision+1)
				}
			}
		}
	}
	m.revision++
	m.asked = append(m.asked, maps.Clone(m.want))
}

// Whatever is asked for between the parts, each is small, no domain ever points
// nowhere, nothing that is only changed goes away, a revision counts when all of it
// was written, and in the end all was.
func TestBacklog_IsWrittenInPartsThatRoutersCanTakeOneByOne(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := &backlogModel{b: newBacklog(), want: map[string]string{}, redis: map[string]string{}, asked: []map[string]string{{}}}
		limit := rapid.IntRange(1, 400).Draw(t, "limit")
		for n := 0; n < 30 || !m.b.empty(); n++ {
			if n < 30 && rapid.IntRange(0, 3).Draw(t, "who") == 0 {
				m.set(t)
				continue
			}
			p := m.b.take(m.want, limit)
			if rapid.IntRange(0, 5).Draw(t, "fails") == 0 {
				m.b.giveBack(p)
				continue
			}
			m.write(t, p, limit)
		}
		if !maps.Equal(m.redis, m.want) || m.b.written(m.revision) != m.revision {
			t.Fatalf("redis holds %v, %v is wanted; revision %d of %d", m.redis, m.want, m.b.written(m.revision), m.revision)
		}
	})
}

func (m *backlogModel) write(t *rapid.T, p part, limit int) {
	size := 0
	for _, c := range p.changes {
		if size += weight(c); c.Value != nil {
			m.redis[c.Key] = *c.Value
		} else {
			delete(m.redis, c.Key)
		}
	}
	if size > limit && len(p.changes) > 1 {
		t.Fatalf("%d changes of %d bytes, of %d at most", len(p.changes), size, limit)
	}
	if p.last != m.b.empty() || p.last != maps.Equal(m.redis, m.want) && len(m.b.since) == 0 {
		t.Fatalf("last %v with %d left", p.last, len(m.b.since))
	}
	for k, v := range m.redis {
		if _, there := m.redis[route.BackendPrefix+v]; strings.HasPrefix(k, route.DomainPrefix) && !there {
			t.Fatalf("%s points to %s, which is not there", k, v)
		}
	}
	m.served(t)
}

// served: what a revision has asked for is there, or something newer.
func (m *backlogModel) served(t *rapid.T) {
	for rev, at := m.b.written(m.revision), 0; at <= int(rev); at++ {
		for k := range m.asked[rev] {
			if !slices.ContainsFunc(m.asked[rev:], func(w map[string]string) bool { return w[k] == m.redis[k] }) {
				t.Fatalf("revision %d counts as written, and %s is %q", rev, k, m.redis[k])
			}
		}
	}
}

func keysOf(changes []route.Change) (out []string) {
	for _, c := range changes {
		out = append(out, c.Key)
	}
	return out
}

func TestBacklog_WhatNobodyAskedToGoGoesInOnePartAndLast(t *testing.T) {
	t.Parallel()
	b := newBacklog()
	want := map[string]string{"/rs/a": "1", "/rs/b": "2", "/cname/x": "a", "/rs/old2": "wanted again"}
	for k := range want {
		b.add(k, 1)
	}
	b.add("/rs/gone", 1)
	b.add("/cname/gone", 1)
	b.anew([]string{"/rs/old1", "/rs/old2", "/cname/old", "/rs/old3"})
	var got []string
	for p := (part{}); !p.last; {
		p = b.take(want, 1)
		got = append(got, fmt.Sprint(keysOf(p.changes), p.meant, p.last))
	}
	if want := []string{
		"[/rs/a] true false", "[/rs/b] true false", "[/rs/old2] true false", "[/cname/x] true false", "[/cname/gone] true false", "[/rs/gone] true false",
		"[/cname/old /rs/old1 /rs/old3] false true",
	}; !slices.Equal(got, want) {
		t.Errorf("parts:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// Requests go astray until a backend is written: it does not wait for the others.
func TestBacklog_ABackendThatIsAskedForMeanwhileComesFirst(t *testing.T) {
	t.Parallel()
	b, want := newBacklog(), map[string]string{}
	for n := range 9 {
		want[fmt.Sprintf("/rs/a%d", n)] = "1"
		b.add(fmt.Sprintf("/rs/a%d", n), 1)
	}
	b.take(want, 1)
	want["/cname/d"], want["/rs/a7"] = "a7", "2"
	b.add("/cname/d", 2)
	b.add("/rs/b", 2)
	want["/rs/b"] = "2"
	if p := b.take(want, 1); !slices.Equal(keysOf(p.changes), []string{"/rs/b"}) || b.written(2) != 0 {
		t.Errorf("then %v, revision %d", keysOf(p.changes), b.written(2))
	}
	if p := b.take(want, 1); !slices.Equal(keysOf(p.changes), []string{"/rs/a1"}) {
		t.Errorf("then %v", keysOf(p.changes))
	}
}

func TestBacklog_ManySmallChangesAreOnePart(t *testing.T) {
	t.Parallel()
	b, want := newBacklog(), map[string]string{}
	for n := range 1000 {
		want[fmt.Sprintf("/rs/a%d", n)] = "1"
		b.add(fmt.Sprintf("/rs/a%d", n), uint64(n+1))
	}
	if p := b.take(want, 256<<10); len(p.changes) != 1000 || !p.last || b.written(1000) != 1000 {
		t.Errorf("%d changes, last %v, revision %d", len(p.changes), p.last, b.written(1000))
	}
}
