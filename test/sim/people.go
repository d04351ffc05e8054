package sim

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/server/dispatch"
)

// people write the desired state, as dash does for them, and nudge the leader.
type people struct {
	w     *World
	names int
	how   string // strategy of what is deployed from now on; "": any
}

// living are the apps that are not deleted, in order.
func (p *people) living() []model.App {
	return slices.DeleteFunc(sorted(p.w.db.apps), func(a model.App) bool { return !a.DeletedAt.IsZero() })
}

// app is the app that a number means.
func (p *people) app(n int) (model.App, bool) {
	all := p.living()
	if len(all) == 0 {
		return model.App{}, false
	}
	return all[n%len(all)], true
}

// change writes, now or once the database answers again, and nudges.
func (p *people) change(what string, f func(t *tables) (appID string, ok bool)) {
	if p.w.now.Before(p.w.db.downUntil) || p.w.now.Before(p.w.db.stalledUntil) {
		p.w.after(nil, time.Second, func() { p.change(what, f) })
		return
	}
	id, ok := "", false
	_ = p.w.db.write(func(t *tables) error { id, ok = f(t); return nil }) // f refuses by ok
	if !ok {
		return
	}
	p.w.touch()
	p.w.say("you", "%s", what)
	p.w.check.wished(id)
	if !p.w.chance("nudge", 80) {
		return // lost on the way: the sweep finds it
	}
	nudge := dispatch.Nudged{AppIDs: []string{id}}
	if id == "" {
		nudge = dispatch.Nudged{Nodes: true}
	}
	p.w.after(nil, 2*time.Millisecond, func() {
		if s := p.w.leader(); s != nil {
			s.term.post(nudge)
		}
	})
}

// lost is told of an app whose last changes a failover lost.
func (p *people) lost(id string, there bool) {
	p.w.say("db", "changes of app %s are lost (there: %v)", label(id), there)
	p.w.check.wished(id)
}

func (p *people) create(instances int) { p.launch("app", instances, false, isGood) }

func (p *people) single() { p.launch("one", 1, true, isGood) }

// launch makes an app, and returns its id.
func (p *people) launch(kind string, instances int, singleton bool, does string) string {
	p.names++
	name := fmt.Sprintf("%s%d", kind, p.names)
	id := p.w.newID()
	p.w.singles = p.w.singles || singleton
	p.change(fmt.Sprintf("create %s with %d instances", name, instances), func(t *tables) (string, bool) {
		t.apps[id] = model.App{ID: id, Name: name, Instances: instances, Singleton: singleton, Generation: 1, CreatedAt: p.w.now}
		p.release(t, id, does)
		return id, true
	})
	return id
}

// release makes the wanted release of an app a new one.
func (p *people) release(t *tables, appID, does string) model.Release {
	a := t.apps[appID]
	n := 1
	for _, r := range t.releases {
		if r.AppID == appID {
			n = max(n, r.Number+1)
		}
	}
	s := model.Spec{Image: fmt.Sprintf("apps/%s@sha256:%064d", a.Name, n), MemoryMiB: 256, Deadline: model.Duration(90 * time.Second), Drain: model.Duration(5 * time.Second), Grace: model.Duration(10 * time.Second)}.WithDefaults()
	s.Env = map[string]string{behaves: does, "SLOW_MS": strconv.Itoa(1000 + p.w.rnd("slow").IntN(20_000))}
	s.Strategy = p.strategy()
	r := model.Release{ID: p.w.newID(), AppID: appID, Number: n, Spec: s, Cause: model.CauseDeploy, CreatedAt: p.w.now}
	t.releases[r.ID] = r
	a.ReleaseID, a.Generation = r.ID, a.Generation+1
	t.apps[appID] = a
	return r
}

// strategy is how a release takes over: most are rolled, as people do.
func (p *people) strategy() string {
	if p.how != "" {
		return p.how
	}
	return model.Strategies[max(0, p.w.rnd("strategy").IntN(2*len(model.Strategies))-len(model.Strategies))]
}

func (p *people) deploy(n int, does string) {
	a, ok := p.app(n)
	if !ok {
		return
	}
	p.change(fmt.Sprintf("deploy %s: %s", a.Name, does), func(t *tables) (string, bool) {
		if !t.apps[a.ID].DeletedAt.IsZero() || t.apps[a.ID].ID == "" {
			return "", false
		}
		p.release(t, a.ID, does)
		return a.ID, true
	})
}

// rollback wants an earlier release's content again.
func (p *people) rollback(n int) {
	a, ok := p.app(n)
	if !ok {
		return
	}
	does := isGood
	for _, d := range sorted(p.w.db.deployments) {
		if d.AppID == a.ID && d.Status == model.DeploymentSucceeded {
			does = p.w.db.releases[d.ReleaseID].Spec.Env[behaves]
		}
	}
	p.deploy(n, does)
}

// number is the number that means an app.
func (p *people) number(id string) int {
	return max(0, slices.IndexFunc(p.living(), func(a model.App) bool { return a.ID == id }))
}

func (p *people) edit(n int, what string, f func(t *tables, a *model.App) bool) {
	a, ok := p.app(n)
	if !ok {
		return
	}
	p.change(fmt.Sprintf("%s: %s", a.Name, what), func(t *tables) (string, bool) {
		b, there := t.apps[a.ID]
		if !there || !b.DeletedAt.IsZero() || !f(t, &b) {
			return "", false
		}
		b.Generation++
		t.apps[a.ID] = b
		return a.ID, true
	})
}

func (p *people) scale(n, instances int) {
	p.edit(n, fmt.Sprintf("scale to %d", instances), func(_ *tables, a *model.App) bool {
		a.Instances = instances
		return model.CheckSingleton(a.Name, a.Singleton, instances) == nil
	})
}

func (p *people) maintain(n int, on bool) {
	p.edit(n, fmt.Sprintf("maintenance %v", on), func(_ *tables, a *model.App) bool { a.Maintenance = on; return true })
}

func (p *people) bind(n int) {
	p.edit(n, "bind a domain", func(t *tables, a *model.App) bool {
		host := "www." + a.Name + ".example"
		t.domains[host] = model.Domain{Host: host, AppID: a.ID}
		return true
	})
}

func (p *people) delete(n int) {
	p.edit(n, "delete", func(t *tables, a *model.App) bool {
		a.DeletedAt = p.w.now
		maps.DeleteFunc(t.domains, func(_ string, d model.Domain) bool { return d.AppID == a.ID })
		return true
	})
}

func (p *people) availability(n int, v model.Availability) {
	name := p.w.nodes[n%len(p.w.nodes)].name
	p.change(fmt.Sprintf("%s is to be %s", name, v), func(t *tables) (string, bool) {
		t.avail[name] = v
		return "", true
	})
}

// decideAfter is how long people need to see a safe mode and to decide.
const decideAfter = time.Minute

// answer looks at what a leader does not dare to do, and then lets it.
func (p *people) answer(m model.SafeMode) {
	p.w.say("you", "see a safe mode: %s", m.Reason)
	p.w.after(nil, decideAfter, func() {
		p.change("end safe mode", func(t *tables) (string, bool) {
			ended := t.safe != nil && t.safe.Epoch == m.Epoch
			if ended {
				t.safe = nil
				p.w.db.failedOver = p.w.now // what was lost is felt from now on
				p.w.check.hurtAll()
			}
			return "", ended
		})
	})
}

// mend deploys something that works where what is kept up does not: it was
// deployed with no instance wanted, so nothing has shown that it fails. And it
// takes nodes back that the leader has cordoned.
func (p *people) mend() {
	for n, x := range p.w.nodes {
		if p.w.db.avail[x.name] == model.Cordoned {
			p.availability(n, model.Active)
		}
	}
	for n, a := range p.living() {
		d, ok := p.w.db.deployments[a.ReleaseID]
		if !ok || !d.Ended() {
			continue
		}
		if does := p.w.db.releases[kept(a, d)].Spec.Env[behaves]; does != "" && does != isGood && does != isSlow {
			p.deploy(n, isGood)
		}
	}
}
