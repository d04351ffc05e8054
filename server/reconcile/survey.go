package reconcile

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dinp/dinp/common/model"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/proto/wire"
	"github.com/dinp/dinp/server/place"
	"github.com/dinp/dinp/server/whatif"
)

// survey looks node by node whether the others would hold what is on it. It is
// made when somebody asks. A small cluster is looked through at once; a large one
// in slices, so that the reconciler is never held up.
type survey struct {
	index  *place.Index  // the pass's copy; nil while no pass is under way
	queue  []string      // IDs of nodes that are to be looked at
	steady map[*app]bool // those that were when they were looked at
	roomy  roomy
	noRoom noRoom // of index
	found  finding
	last   *pb.Survival // of the last pass that was finished
	ended  time.Time    // when that was
	large  bool         // it took more than one slice
	next   time.Time    // when the next slice is due
}

// finding is what a pass has found so far.
type finding struct {
	looked int
	weak   []weak
	alone  map[string]bool // apps, by name, all of whose ready instances are on one node
}

// weak is a node whose loss the cluster would not survive.
type weak struct {
	name            string
	misfits, placed int
	example         string
}

// The survey's measures. What a slice costs is what BenchmarkWhatIf tells.
const (
	surveySlice = 5000                   // instances that are looked at in one go
	surveyEvery = 100 * time.Millisecond // between two slices, at least, and
	surveyRest  = 9                      // times as long as the last one took: a tenth of a core is enough for a question
	surveyAgain = time.Minute            // between two passes over a large cluster
	surveySoon  = time.Second            // and over a small one
	surveyTold  = 5                      // nodes, and twice as many apps, that are named
	comingFor   = 5 * time.Second        // after one node has spoken for the first time others may
	steadyCosts = 20                     // times less than what the planner has to be asked about
)

// survival answers whether the cluster survives the loss of any one node. Call it
// by Do.
func (c *Core) survival() *pb.Survival {
	s, now := &c.survey, c.deps.Now()
	again := surveySoon
	if s.large {
		again = surveyAgain
	}
	if s.index == nil && (s.last == nil || now.Sub(s.ended) >= again) {
		if n := c.expected(now); n > 0 {
			return &pb.Survival{Nodes: int32(len(c.nodes)), AtMs: wire.Millis(now), Text: fmt.Sprintf("survives the loss of any one node: not known before the nodes have spoken to this leader; %d of %d have yet to", n, len(c.nodes))}
		}
		s.begin(c)
		c.surveyOn(now)
	}
	if s.last != nil {
		return s.last
	}
	return s.found.answer(now, s.found.looked+len(s.queue), false)
}

// expected is how many nodes have yet to speak in a term that is so young that
// they may be on their way, or while others come: a survey that took them for
// silent would find room nowhere.
func (c *Core) expected(now time.Time) (n int) {
	young, coming := now.Sub(c.began) < c.cfg.Limits.UnknownAfter, now.Sub(c.came) < comingFor
	if !young && !coming {
		return 0
	}
	for _, is := range c.nodes {
		if !is.EverSynced && is.wanted != model.Forgotten {
			n++
		}
	}
	return n
}

func (s *survey) begin(c *Core) {
	s.index, s.large, s.found, s.queue = c.index.Clone(), false, finding{alone: map[string]bool{}}, nil
	s.steady, s.roomy, s.noRoom = map[*app]bool{}, roomy{slots: map[need]int{}}, noRoom{}
	for _, id := range slices.Sorted(maps.Keys(c.nodes)) {
		if n := c.nodes[id]; len(n.rows) > 0 && n.Status != model.NodeLost {
			s.queue = append(s.queue, id)
		}
	}
}

// due reports whether a pass is under way and a slice of it is due. Rounds come as
// often as agents speak, which says nothing of when.
func (s *survey) due(now time.Time) bool { return s.index != nil && !now.Before(s.next) }

// surveyOn looks at the next nodes of a pass that is under way.
func (c *Core) surveyOn(now time.Time) {
	s, began := &c.survey, c.deps.Now()
	for budget := surveySlice; len(s.queue) > 0 && budget > 0; s.queue = s.queue[1:] {
		if n := c.nodes[s.queue[0]]; n != nil {
			budget -= c.lookAt(n)
		}
	}
	if len(s.queue) > 0 {
		s.large = true
		ended := c.deps.Now()
		s.next = ended.Add(max(surveyEvery, surveyRest*ended.Sub(began)))
		return
	}
	s.last, s.ended, s.index, s.steady, s.roomy, s.noRoom = s.found.answer(now, s.found.looked, true), now, nil, nil, roomy{}, noRoom{}
}

// lookAt tries the loss of one node, and returns what that cost.
func (c *Core) lookAt(n *node) (cost int) {
	s, apps := &c.survey, c.appsOn(n)
	steady, looked := s.allSteady(apps)
	if steady {
		if out, ok := s.roomy.loss(c, s.index, n); ok {
			s.found.take(n, out)
			return (looked + len(n.rows)) / steadyCosts
		}
	}
	for _, a := range apps {
		cost += len(a.rows)
	}
	if steady {
		s.found.take(n, c.loseSteady(n, apps))
		return cost / steadyCosts
	}
	s.found.take(n, c.lose(n, apps))
	return cost
}

// lose asks the planner what the loss of a node would bring.
func (c *Core) lose(n *node, apps []*app) outcome {
	w := &whatif.World{Config: c.cfg.Plan, Now: c.deps.Now(), Index: c.survey.index}
	for _, a := range apps {
		if a.Name != "" {
			w.Apps = append(w.Apps, c.copyOf(a))
		}
	}
	a := w.Try(n.ID)
	out := outcome{placed: len(a.Moves), misfits: len(a.Misfits), interrupted: a.Interrupted}
	if out.misfits > 0 {
		out.example = fmt.Sprintf("%s: %s", a.Misfits[0].App, a.Misfits[0].Why.Message)
	}
	return out
}

// take adds what the loss of a node would bring.
func (f *finding) take(n *node, o outcome) {
	f.looked++
	for _, name := range o.interrupted {
		f.alone[name] = true
	}
	if o.misfits > 0 {
		f.weak = append(f.weak, weak{name: n.Name, misfits: o.misfits, placed: o.placed, example: o.example})
	}
}

// answer puts a finding into words.
func (f *finding) answer(now time.Time, nodes int, complete bool) *pb.Survival {
	out := &pb.Survival{Survives: len(f.weak) == 0, Complete: complete, Looked: int32(f.looked), Nodes: int32(nodes), InterruptedApps: int32(len(f.alone)), AtMs: wire.Millis(now)}
	slices.SortStableFunc(f.weak, func(a, b weak) int { return cmp.Compare(b.misfits, a.misfits) })
	for _, w := range f.weak[:min(len(f.weak), surveyTold)] {
		out.Because = append(out.Because, fmt.Sprintf("losing %s: %d of %d instances would find no room; %s", w.name, w.misfits, w.misfits+w.placed, w.example))
	}
	names := slices.Sorted(maps.Keys(f.alone))
	out.Interrupted = names[:min(len(names), 2*surveyTold)]
	switch {
	case !complete && out.GetSurvives():
		out.Text = fmt.Sprintf("survives the loss of any one node: being worked out; %d of %d nodes looked at, and the others would hold what is on each", f.looked, nodes)
	case f.looked == 0:
		out.Text = "survives the loss of any one node: yes, because nothing runs"
	case out.GetSurvives():
		out.Text = "survives the loss of any one node: yes, because for each the others have room for what is on it"
	default:
		out.Text = fmt.Sprintf("survives the loss of any one node: no, because for %d of %d the others lack room for what is on it", len(f.weak), nodes)
	}
	if len(f.alone) > 0 {
		out.Text += fmt.Sprintf("; %s would not answer until replaced (all on one node)", some(out.GetInterrupted(), len(f.alone)))
	}
	return out
}

// some names a few of many.
func some(names []string, all int) string {
	s := strings.Join(names, ", ")
	if n := all - len(names); n > 0 {
		s += fmt.Sprintf(" and %d more", n)
	}
	return s
}
