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
	index *place.Index // the pass's copy; nil while no pass is under way
	queue []string     // IDs of nodes that are to be looked at
	found finding
	last  *pb.Survival // of the last pass that was finished
	ended time.Time    // when that was
	large bool         // it took more than one slice
	next  time.Time    // when the next slice is due
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
		s.begin(c)
		c.surveyOn(now)
	}
	if s.last != nil {
		return s.last
	}
	return s.found.answer(now, s.found.looked+len(s.queue), false)
}

func (s *survey) begin(c *Core) {
	s.index, s.large, s.found, s.queue = c.index.Clone(), false, finding{alone: map[string]bool{}}, nil
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
	s.last, s.ended, s.index = s.found.answer(now, s.found.looked, true), now, nil
}

// lookAt tries the loss of one node, and returns what that cost.
func (c *Core) lookAt(n *node) (cost int) {
	w := &whatif.World{Config: c.cfg.Plan, Now: c.deps.Now(), Index: c.survey.index}
	for _, a := range c.appsOn(n) {
		if a.Name != "" {
			w.Apps = append(w.Apps, c.copyOf(a))
			cost += len(a.rows)
		}
	}
	f, a := &c.survey.found, w.Try(n.ID)
	f.looked++
	for _, name := range a.Interrupted {
		f.alone[name] = true
	}
	if len(a.Misfits) > 0 {
		m := a.Misfits[0]
		f.weak = append(f.weak, weak{name: n.Name, misfits: len(a.Misfits), placed: len(a.Moves), example: fmt.Sprintf("%s: %s", m.App, m.Why.Message)})
	}
	return cost
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
