// Package plan decides, for one app at a time, what has to be done so that what
// is becomes what is wanted. It is a pure function: values in, a plan out, no
// clock, no locks, no I/O. Same input, same plan.
//
// It decides which slots need an instance of which release and which instances
// have to go; place decides where, reconcile carries it out.
package plan

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/dinp/dinp/common/model"
)

// Config are the times and budgets of the rules.
type Config struct {
	MinReady       time.Duration // a new release is ready so long before it takes a slot
	SurgePercent   int           // of the wanted instances, at least one, may exist on top
	UnhealthyFor   time.Duration // then an instance is replaced, by surge
	MaxFailures    int           // of a new release's instances, then its deployment fails
	UnplaceableFor time.Duration // then a deployment that finds no room fails
	BackoffBase    time.Duration // of a slot whose instances end by themselves
	BackoffMax     time.Duration
	QuickRestarts  int           // so many are immediate
	CalmAfter      time.Duration // ready for so long, a slot's failures are forgotten
	JudgeEvery     time.Duration // a stage's counts are looked at
	JudgeRequests  uint64        // to the new release, before a stage can be passed
	JudgeWithin    time.Duration // of the stage being complete they must have come, or it is held for a person
	HearWithin     time.Duration // of a term's begin no deadline is held against a release: its nodes and monitors are still to be heard
}

// Default are the rules' defaults (DESIGN of the server, R13 and R14).
func Default() Config {
	return Config{
		MinReady: 10 * time.Second, SurgePercent: 25, UnhealthyFor: 30 * time.Second, MaxFailures: 3,
		UnplaceableFor: 10 * time.Second, BackoffBase: 5 * time.Second, BackoffMax: 5 * time.Minute, QuickRestarts: 2, CalmAfter: 10 * time.Minute,
		HearWithin: 30 * time.Second, JudgeEvery: 2 * time.Second, JudgeRequests: 50, JudgeWithin: 10 * time.Minute,
	}
}

// Input is all there is to know about one app.
type Input struct {
	App         model.App
	Releases    map[string]model.Release    // all that App, Deployments and Instances name
	Deployments map[string]model.Deployment // by release ID: the wanted one's, running ones, the last good one's
	LastGood    string                      // the release whose deployment succeeded last; "" for none
	Instances   []Instance
	Slots       map[int]Slot
	Failures    []Failure // of the wanted release's instances since its deployment began, oldest first
	Unplaceable time.Time // since when the wanted release finds no room; zero: it does
	Refusal     *model.Error
	Awaited     bool      // nodes that have fallen silent would have room: Refusal is no proof that there is none
	LastLogs    []string  // the output of the instance that Unready named, when it was asked for
	Frozen      bool      // the breaker is open: a lost node is not believed (R9)
	MassSick    bool      // so many instances fell ill at once that none is replaced for it (R12)
	Nodes       int       // of the cluster
	Trial       *Trial    // of the stage that the wanted release is in; nil: none was complete yet
	Stray       string    // why a singleton may run that the database does not know; "": none does
	Since       time.Time // when the leader's term, or what came after a safe mode in it, began; by its own clock
}

// Instance is one placement with all that is known of it.
type Instance struct {
	model.Instance
	Observed   *model.Observed // nil: its agent has not spoken of it
	Judged     bool            // the health monitor has spoken of it
	Healthy    bool            // verdict; false also while there is none
	HealthyAt  time.Time       // since when it is healthy
	SickAt     time.Time       // since when it is unhealthy, after having been healthy
	Probe      string          // the last probe in words
	Node       model.NodeStatus
	Draining   bool // its node is to be emptied
	Routed     bool // every live router sends it requests
	EverRouted bool
	Exposed    bool // some router may still send it requests
}

// Slot is what is remembered of a slot's failures.
type Slot struct {
	Failures  int
	NextStart time.Time
	Node      string // ID of the node of the last
}

// Failure is one instance of a new release that ended by itself.
type Failure struct {
	At      time.Time
	Code    model.Code
	Message string
	Logs    []string
}

// Plan is what to do. Lists are sorted, so that equal inputs give equal plans.
type Plan struct {
	Reap    []Reap      // rows of instances that are gone
	Stop    []Stop      // to be un-routed, drained, stopped
	Suspect []string    // primaries on lost nodes that lose their role
	Promote []Promotion // surge instances that take their slot
	Keep    []string    // suspects that get their role back
	Start   []Start     // to be placed
	Calm    []int       // slots whose failures are forgotten
	Deploy  []model.Deployment
	Pending []Pending // slots that wait, and for what
	Watch   string    // names the stage whose answers are to be counted, from when it is first named; "" none
	Wake    time.Time // plan again then, at the latest; zero: on the next change
}

// Reap removes the row of an instance that is gone.
type Reap struct {
	ID      string
	Slot    int
	Failed  bool // it was not asked to go: counts against its slot, its release and its node
	Refused bool // its node had no room for it after all: the slot waits, and neither is at fault
}

// Waits reports whether the slot of what is removed waits before it is filled again.
func (r Reap) Waits() bool { return r.Failed || r.Refused }

// Stop ends an instance.
type Stop struct {
	ID     string
	Reason model.Reason
}

// Promotion makes a surge instance its slot's primary.
type Promotion struct {
	ID   string
	Slot int
}

// Start wants a new instance.
type Start struct {
	Slot      int
	Role      model.Role
	ReleaseID string
	Avoid     string // a node not to take: the one that is being left
}

// Pending is a slot that waits.
type Pending struct {
	Slot    int
	Code    model.Code
	Message string
	Until   time.Time
}

// planner carries the working values of one Compute.
type planner struct {
	Input
	cfg     Config
	now     time.Time
	target  string // release to be kept up; "" for none
	spare   string // release for losses while a deployment runs
	out     Plan
	slots   map[int]*slotView
	views   []slotView   // room for those
	count   int          // wanted instances
	serving int          // ready instances that no step of this plan takes away
	stage   *model.Stage // that a running deployment is in; nil: none, or it has passed them
	stages  int          // how many there are
	beside  int          // instances that the stage has
}

// slotView is a slot's live instances by role.
type slotView struct {
	primary, surge, suspect *Instance
}

// Compute returns the plan for one app at the time now. The input is not
// changed.
func Compute(cfg Config, in Input, now time.Time) Plan { return decide(cfg, in, now).sorted() }

func decide(cfg Config, in Input, now time.Time) *planner {
	most := len(in.Instances) + in.App.Instances
	p := &planner{Input: in, cfg: cfg, now: now, slots: make(map[int]*slotView, most), views: make([]slotView, 0, most)}
	p.deployments()
	p.classify()
	if !p.App.Paused {
		for slot := range p.count {
			p.slot(slot)
		}
		p.surge()
	}
	p.finish()
	return p
}

// wake asks for another look at t.
func (p *planner) wake(t time.Time) {
	if t.After(p.now) && (p.out.Wake.IsZero() || t.Before(p.out.Wake)) {
		p.out.Wake = t
	}
}

func (p *planner) sorted() Plan {
	o := p.out
	slices.SortFunc(o.Reap, func(a, b Reap) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(o.Stop, func(a, b Stop) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(o.Promote, func(a, b Promotion) int { return cmp.Compare(a.Slot, b.Slot) })
	slices.SortFunc(o.Start, func(a, b Start) int { // losses first: they may take the last room
		return cmp.Or(strings.Compare(string(a.Role), string(b.Role)), cmp.Compare(a.Slot, b.Slot))
	})
	slices.Sort(o.Suspect)
	slices.Sort(o.Keep)
	slices.Sort(o.Calm)
	slices.SortFunc(o.Deploy, func(a, b model.Deployment) int { return cmp.Compare(a.ReleaseID, b.ReleaseID) })
	slices.SortFunc(o.Pending, func(a, b Pending) int { return cmp.Compare(a.Slot, b.Slot) })
	return o
}

// stop adds an instance to those to be stopped.
func (p *planner) stop(i *Instance, why model.Reason) {
	p.out.Stop = append(p.out.Stop, Stop{ID: i.ID, Reason: why})
}
