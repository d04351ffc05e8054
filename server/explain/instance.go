package explain

import (
	"fmt"
	"strings"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/server/plan"
)

// chain is the links of one instance.
type chain struct {
	c     *Case
	i     *plan.Instance
	f     *Fact
	steps []Step
}

// instance goes along an instance's chain up to the first link that is not done.
func (c *Case) instance(i *plan.Instance, f *Fact) []Step {
	k := &chain{c: c, i: i, f: f}
	k.done(Placed, i.CreatedAt, "%s on %s as %s", c.version(i.ReleaseID), f.Node.Name, i.Role)
	switch {
	case i.Stopping:
		k.add(k.stopping())
	case i.Observed != nil && i.Observed.Phase == model.PhaseGone:
		k.add(k.ended())
	case i.Role == model.Suspect:
		k.add(k.lost())
	default:
		k.climb()
	}
	return k.steps
}

func (k *chain) add(s Step) {
	s.Instance, s.Slot = k.i.ID, k.i.Slot
	k.steps = append(k.steps, s)
}

func (k *chain) done(l Link, at time.Time, format string, args ...any) {
	k.add(Step{Link: l, OK: true, At: at, Text: fmt.Sprintf(format, args...)})
}

// phase is the last one heard of; assigned when nothing was.
func (k *chain) phase() model.Phase {
	if k.i.Observed == nil {
		return model.PhaseAssigned
	}
	return k.i.Observed.Phase
}

// climb goes from the image to the routers.
func (k *chain) climb() {
	links := []struct {
		link Link
		done bool
		at   time.Time
		text string
		not  func() Step
	}{
		{Pulled, k.phase() >= model.PhaseCreated, k.createdAt(), "its image is on the host", k.pulled},
		{Started, k.phase() >= model.PhaseRunning, k.startedAt(), "its process runs", k.started},
		{Listening, k.listens(), k.f.Answered, "it answers at " + k.addr(), k.listening},
		{Healthy, k.i.Healthy, k.i.HealthyAt, k.i.Probe, k.healthy},
		{Routed, (k.i.Routed || k.f.Before) && k.c.Routers > 0, k.f.RouteAt, k.senders(), k.routed},
	}
	for _, l := range links {
		if !l.done {
			k.add(l.not())
			return
		}
		k.done(l.link, l.at, "%s", l.text)
	}
	k.outlook()
}

func (k *chain) createdAt() time.Time {
	if k.i.Observed == nil {
		return time.Time{}
	}
	return k.i.Observed.CreatedAt
}

func (k *chain) startedAt() time.Time {
	if k.i.Observed == nil {
		return time.Time{}
	}
	return k.i.Observed.StartedAt
}

func (k *chain) addr() string {
	if k.i.Observed == nil {
		return ""
	}
	return k.i.Observed.Addr
}

func (k *chain) pulled() Step {
	if s, troubled := k.node(Pulled); troubled {
		return s
	}
	on := k.f.Node.Name
	if k.i.Observed == nil {
		if !k.f.Sent {
			return not(Pulled, NotSent, "%s has not been told of it yet; the next round tells it", on).since(k.i.CreatedAt)
		}
		return not(Pulled, NotTaken, "%s was told %s ago and has not answered yet", on, k.c.ago(k.i.CreatedAt)).since(k.i.CreatedAt)
	}
	o := k.i.Observed
	switch {
	case o.Code != "":
		return not(Pulled, PullFails, "%s cannot get the image: %s", on, o.Message).since(k.f.Since).code(o.Code).shows("image: "+k.image()).next("dinp node %s", on)
	case o.Phase == model.PhasePulling:
		return not(Pulled, Pulling, "%s has been pulling the image for %s", on, k.c.ago(k.f.Since)).since(k.f.Since).shows("image: "+k.image(), o.Message)
	}
	return not(Pulled, Queued, "%s has taken it, and does other pulls first", on).since(k.f.Since)
}

func (k *chain) image() string { return k.c.Releases[k.i.ReleaseID].Spec.Image }

func (k *chain) started() Step {
	if s, troubled := k.node(Started); troubled {
		return s
	}
	o := k.i.Observed
	if o.Phase == model.PhaseCreated && o.Code == "" {
		return not(Started, Queued, "its container is made, and starts when others have on %s", k.f.Node.Name).since(k.f.Since)
	}
	return not(Started, Starting, "%s has been starting its container for %s", k.f.Node.Name, k.c.ago(k.f.Since)).since(k.f.Since).code(o.Code).shows(o.Message)
}

// node says what keeps a host from going on with an instance.
func (k *chain) node(l Link) (s Step, troubled bool) {
	n, name := k.f.Node, k.f.Node.Name
	switch {
	case k.i.Node == model.NodeLost:
		return k.silence(l, NodeLost), true
	case k.i.Node == model.NodeUnknown && !n.Connected:
		return k.silence(l, NodeUnknown), true
	case k.i.Node == model.NodeDockerDown:
		return not(l, EngineDown, "Docker does not answer on %s", name).since(n.Heard).code(model.CodeDockerAway).shows(n.Engine).
			next("start Docker on %s (systemctl start docker); dinp node %s shows what it says", name, name), true
	case !n.Connected:
		return not(l, AgentAway, "the agent of %s has left; it is expected back", name).since(n.Heard).shows("last heard of "+k.c.ago(n.Heard)+" ago").next("dinp node %s", name).turned(n), true
	case !n.Synced:
		return not(l, AgentReturns, "%s is connected, and has yet to tell what it has", name).since(n.Heard).shows(n.Engine), true
	}
	return Step{}, false
}

// silence explains a host of which nothing is heard.
func (k *chain) silence(l Link, why Reason) Step {
	n, name := k.f.Node, k.f.Node.Name
	s := not(l, why, "%s is silent: nothing was heard of it for %s", name, k.c.ago(n.Heard)).since(n.Heard)
	if n.Heard.IsZero() {
		s = not(l, why, "%s is silent: nothing was heard of it since this leader took over", name)
	}
	s = s.shows(fmt.Sprintf("%d of %d nodes are silent", k.c.Silent, k.c.Nodes))
	switch {
	case k.c.Frozen:
		s = s.shows("so many at once are not believed to be lost: nothing is replaced until some return")
	case why == NodeUnknown && !n.LostAt.IsZero():
		s = s.shows(fmt.Sprintf("its instances are replaced in %s unless it returns", span(n.LostAt.Sub(k.c.Now))))
	}
	return s.next("see whether the host runs; if it never returns: dinp node %s forget", name).turned(n)
}

// turned says that a host runs, and that its agent was not let in.
func (s Step) turned(n Node) Step {
	if n.Turned == "" {
		return s
	}
	return s.shows(n.Turned).code(model.CodeNoCertificate).next("dinp token create-join, and on %s: dinp join SERVER --token TOKEN", n.Name)
}

func (k *chain) lost() Step {
	name, other := k.f.Node.Name, "another instance has taken over"
	if k.c.Refused[k.i.Slot] != nil {
		other = "for another one there is no room yet"
	}
	return k.silenceOr(not(Placed, NodeLost, "%s was lost, and %s; this one goes, or serves again, when %s has told what it has", name, other, name).since(k.f.Node.Heard))
}

// silenceOr says more of a suspect's host as long as it is silent.
func (k *chain) silenceOr(s Step) Step {
	if k.i.Node != model.NodeReady {
		s = s.shows("last heard of "+k.c.ago(k.f.Node.Heard)+" ago").next("see whether the host runs; if it never returns: dinp node %s forget", k.f.Node.Name).turned(k.f.Node)
	}
	return s
}

// refusals are what monitors say of a port that nobody listens on.
var refusals = []string{"connect: refused", "connect: no route", "no answer within", "connection closed without an answer", "connection reset"}

// silent reports whether the last probe got no answer at all.
func (k *chain) silent() bool {
	for _, r := range refusals {
		if strings.Contains(k.i.Probe, r) {
			return true
		}
	}
	return false
}

func (k *chain) listens() bool {
	return k.i.Healthy || k.i.Judged && !k.silent()
}

func (k *chain) listening() Step {
	if s, troubled := k.node(Listening); troubled {
		return s
	}
	port := k.c.Releases[k.i.ReleaseID].Spec.Port
	switch {
	case k.i.Judged && !k.i.SickAt.IsZero():
		return k.sick(Listening, NotListening, "it stopped answering on port %d", port)
	case k.i.Judged:
		return not(Listening, NotListening, "its process runs, and does not answer on port %d", port).since(k.startedAt()).shows("last probe: "+k.i.Probe).
			next("make the program listen on 0.0.0.0:$PORT, or set --port to the one it uses; see: dinp logs %s --instance %d", k.c.App.Name, k.i.Slot)
	case k.c.Monitors == 0:
		return not(Listening, NoMonitor, "no health monitor is connected: whether it answers is not known").since(k.startedAt()).next("start a health monitor: dinp hm")
	}
	return not(Listening, NotProbed, "%d health monitors were told of it %s ago, and have not answered yet", k.c.Monitors, k.c.ago(k.f.Since)).since(k.f.Since)
}

func (k *chain) healthy() Step {
	if !k.i.SickAt.IsZero() {
		return k.sick(Healthy, Unhealthy, "it answers, and not well any more")
	}
	return not(Healthy, Unhealthy, "it answers, and has not been well yet").since(k.startedAt()).shows("last probe: "+k.i.Probe).next("dinp logs %s --instance %d", k.c.App.Name, k.i.Slot)
}

// sick explains an instance that was healthy.
func (k *chain) sick(l Link, why Reason, format string, args ...any) Step {
	s := not(l, why, format, args...).since(k.i.SickAt).shows("last probe: "+k.i.Probe).next("dinp logs %s --instance %d", k.c.App.Name, k.i.Slot)
	switch {
	case k.c.MassSick:
		s.Why = MassSick
		return s.shows("so many instances fell ill at once that none is replaced for it: look at what they share").next("dinp nodes")
	case k.f.InRoutes:
		return s.shows("requests still go to it: all instances of the app are unwell")
	}
	return s.shows(fmt.Sprintf("it is replaced %s after it fell ill", span(k.c.Patience)))
}

// senders says who sends a routed instance its requests.
func (k *chain) senders() string {
	if k.i.Routed {
		return "every live router sends it requests"
	}
	return "routers send it requests, as they did before this leader, which has changed no route of the app yet"
}

func (k *chain) routed() Step {
	switch {
	case k.c.Routers == 0:
		return not(Routed, NoRouter, "it is ready at %s, and no router lives that could send it requests", k.addr()).since(k.i.HealthyAt).next("start a router: dinp router")
	case !k.f.InRoutes && k.reserved():
		return not(Routed, Reserved, "it is ready at %s, and gets no requests: %s", k.addr(), k.reserve()).since(k.i.HealthyAt)
	case !k.f.InRoutes && k.c.Unread:
		return not(Routed, NotInTable, "it is ready at %s; routes change once Redis answers: what is routed has yet to be read from it", k.addr()).since(k.i.HealthyAt)
	case !k.f.InRoutes:
		return not(Routed, NotInTable, "it is ready at %s; the next round puts it into the routes", k.addr()).since(k.i.HealthyAt)
	}
	return not(Routed, RoutersBehind, "it is in the routes, which %d of %d routers have yet to take", len(k.f.Behind), k.c.Routers).since(k.f.RouteAt).shows(k.behind()...)
}

// reserved reports whether a step of the rollout gives an instance's release no
// requests, and the other one all of them.
func (k *chain) reserved() bool {
	d := k.c.Deployments[k.c.App.ReleaseID]
	s, ok := plan.SplitOf(k.c.App, d, k.c.Releases[d.ReleaseID])
	if k.i.ReleaseID == d.ReleaseID {
		return ok && s.Percent == 0
	}
	return ok && s.Percent == 100
}

// reserve is what a reserved instance is there for.
func (k *chain) reserve() string {
	if wanted := k.c.App.ReleaseID; k.i.ReleaseID != wanted {
		return k.c.version(wanted) + " has them all: it stays, for a rollback"
	}
	return "those before it have them until all of " + k.c.version(k.i.ReleaseID) + " may have them"
}

func (k *chain) behind() (lines []string) {
	for _, r := range k.f.Behind {
		lines = append(lines, fmt.Sprintf("router %s at %s serves %s, and last reported %s ago", r.ID, r.Addr, r.Serves, k.c.ago(r.At)))
	}
	return lines
}

// outlook says what is still to come of an instance that serves.
func (k *chain) outlook() {
	why, leaves := k.c.Outlook.Leaving[k.i.ID]
	switch {
	case k.i.Node == model.NodeLost:
		k.add(k.silence(Desired, NodeLost))
	case k.i.Node == model.NodeUnknown && !k.f.Node.Connected:
		k.add(k.silence(Desired, NodeUnknown).shows("its monitors find it well meanwhile, and requests go to it"))
	case k.i.Role == model.Surge:
		due := k.i.HealthyAt.Add(k.c.MinReady)
		k.add(not(Desired, Proving, "it takes its slot after %s of good health: in %s", span(k.c.MinReady), span(due.Sub(k.c.Now))).since(k.i.HealthyAt))
	case k.i.Slot >= k.c.Outlook.Wanted:
		k.add(not(Desired, Surplus, "it is one too many, and serves on until %d others do", k.c.Outlook.Wanted))
	case leaves:
		k.add(not(Desired, Leaving, "it serves, and is to be replaced (%s); up to %d are at a time", why, k.c.Outlook.Budget).since(k.startedAt()))
	}
}

// stopping explains an instance that is to go.
func (k *chain) stopping() Step {
	reason, name := string(k.i.Reason), k.f.Node.Name
	switch {
	case k.i.Exposed || k.f.InRoutes:
		return not(Stopping, Unrouting, "it is being stopped (%s); routers are to send it nothing first", reason).since(k.i.StoppedAt).shows(k.behind()...)
	case !k.f.Node.Connected || !k.f.Node.Synced || k.i.Node == model.NodeDockerDown:
		return not(Stopping, StopPending, "it is to be stopped (%s), and %s cannot be told, or cannot do it", reason, name).since(k.i.StoppedAt).
			shows("last heard of "+k.c.ago(k.f.Node.Heard)+" ago", k.f.Node.Engine).next("dinp node %s", name)
	}
	return not(Stopping, Draining, "it is being stopped (%s): phase %s", reason, k.phase()).since(k.i.StoppedAt)
}

// ended explains an instance that has no container any more.
func (k *chain) ended() Step {
	o := k.i.Observed
	text := o.Message
	if text == "" {
		text = string(o.Gone)
	}
	return not(Started, Ended, "%s", text).since(k.f.Since).code(o.Code).shows(o.Logs...).next("dinp logs %s --instance %d", k.c.App.Name, k.i.Slot)
}
