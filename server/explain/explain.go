// Package explain says why an app is as it is: for every slot and instance the
// chain desired → placed → pulled → started → listening → healthy → routed, each
// link with its time and its evidence, the first one that is not done with the
// reason, and the command that helps next.
//
// It is a pure package. What it says follows from what the leader knows at one
// moment: the same facts that the planner and placement decide by, so that an
// explanation cannot differ from what is done.
package explain

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/route"
	"github.com/dinp/dinp/server/place"
	"github.com/dinp/dinp/server/plan"
)

// Link is one link of the chain from a wish to an answer.
type Link string

// The links, in order. Stopping stands at the end of an instance that is to go.
const (
	Desired   Link = "desired"
	Placed    Link = "placed"
	Pulled    Link = "pulled"
	Started   Link = "started"
	Listening Link = "listening"
	Healthy   Link = "healthy"
	Routed    Link = "routed"
	Stopping  Link = "stopping"
)

// Case is all that is known of one app.
type Case struct {
	plan.Input
	Outlook  plan.Outlook
	Now      time.Time
	Facts    []Fact // of Input.Instances, by index
	Refused  map[int]*place.Refused
	Roomless map[int]time.Time // since when those slots are refused; none: only now
	Room     map[int]string    // slots that the next round places, and the node it would take
	Monitors int               // health monitors that are connected
	Routers  int               // live ones
	Silent   int               // nodes that are unknown or lost, of Nodes
	Safe     *model.SafeMode   // why the leader changes nothing; nil: it works
	Unread   bool              // the leader does not know yet what was routed when its term began, and routes nothing until then
	Trouble  time.Time         // since when the leader could finish no round; zero: the last one was
	Progress string            // where a deployment stands among its steps, in words; "": it has none
	MinReady time.Duration
	Patience time.Duration // an unhealthy instance is replaced after so long
}

// Fact is what is known of an instance besides what the planner is told.
type Fact struct {
	Node     Node
	Sent     bool      // the command that it needs was sent in its node's session
	Since    time.Time // since when it is known to be in its phase; zero: not known
	InRoutes bool      // the table has it; perhaps no router serves that table yet
	Before   bool      // the table as it was before this leader's term has it, and this leader has written nothing of its app's
	RouteAt  time.Time // when it came in, or went out; zero: before this leader's term
	Answered time.Time // when it first answered a monitor in any way; zero: not known
	Behind   []Router  // live routers that have not taken that table yet
}

// Node is the host of an instance.
type Node struct {
	Name      string
	Heard     time.Time // zero: never in this term
	LostAt    time.Time // when silence becomes loss; zero: not by time alone
	Connected bool      // its agent has a stream
	Synced    bool      // its agent has told all it has
	Engine    string    // what is wrong with its Docker engine
	Turned    string    // why its agent was turned away; "" when it was not
}

// Router is a router that is waited for.
type Router struct {
	ID, Addr string
	Serves   route.Version
	At       time.Time
}

// Account is the explanation of an app.
type Account struct {
	Steps []Step
	Next  string // the command that helps most; "" when all is as wished
}

// Step is one link of the chain of the app, of a slot or of an instance.
type Step struct {
	Instance string // ID; "" for the app and for slots without an instance
	Slot     int
	Link     Link
	OK       bool
	Why      Reason // when it is not OK
	Text     string
	At       time.Time // when it was done, or since when it is as it is; zero: not known
	Code     model.Code
	Evidence []string
	Counts   []place.Count // of the constraints that exclude nodes, all of them
	Misses   []place.Miss  // the nodes that are nearest to fitting
	Next     string
}

// App explains an app with all its slots and instances.
func App(c Case) Account {
	out := Account{Steps: []Step{c.desired()}}
	out.Steps = append(out.Steps, c.leader()...)
	for n := range c.Instances {
		out.Steps = append(out.Steps, c.instance(&c.Instances[n], &c.Facts[n])...)
	}
	out.Steps = append(out.Steps, c.slots()...)
	slices.SortStableFunc(out.Steps[1:], func(a, b Step) int { return cmp.Compare(a.Slot, b.Slot) })
	out.Next = next(out.Steps)
	return out
}

// next is the command of the first link that is not done.
func next(steps []Step) string {
	for _, s := range steps {
		if !s.OK && s.Next != "" {
			return s.Next
		}
	}
	return ""
}

// version names a release.
func (c *Case) version(id string) string {
	if r, ok := c.Releases[id]; ok {
		return r.Version()
	}
	return "a release"
}

// ago is how long ago something was, for people.
func (c *Case) ago(t time.Time) string {
	if t.IsZero() {
		return "an unknown time"
	}
	return span(c.Now.Sub(t))
}

// span rounds a time to what a person reads.
func span(d time.Duration) string {
	switch {
	case d < 0:
		d = 0
	case d < 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// not is a link that is not done.
func not(l Link, why Reason, format string, args ...any) Step {
	return Step{Link: l, Why: why, Text: fmt.Sprintf(format, args...)}
}

func (s Step) next(format string, args ...any) Step {
	s.Next = fmt.Sprintf(format, args...)
	return s
}

func (s Step) since(t time.Time) Step {
	s.At = t
	return s
}

func (s Step) shows(lines ...string) Step {
	for _, l := range lines {
		if l != "" {
			s.Evidence = append(s.Evidence, l)
		}
	}
	return s
}

func (s Step) code(c model.Code) Step {
	s.Code = c
	return s
}
