package instance

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// crowd is what a test knows of Lanes by itself: who waits for what, and what is
// under way, in the order in which that came.
type crowd struct {
	t       *testing.T
	lanes   Lanes[string]
	waiting []*Turn[string] // once for each who waits
	busy    []*Turn[string]
	order   []string // in which calls began
}

func (c *crowd) join(op Op, image, errand string) *Turn[string] {
	t, fresh := c.lanes.Join(op, image)
	if fresh {
		t.Errand = errand
	}
	c.waiting = append(c.waiting, t)
	c.next()
	return t
}

func (c *crowd) leave(t *Turn[string]) (callOff bool) {
	at := slices.Index(c.waiting, t)
	c.waiting = slices.Delete(c.waiting, at, at+1)
	callOff = c.lanes.Leave(t)
	c.next()
	return callOff
}

func (c *crowd) end(t *Turn[string]) {
	c.busy = without(c.busy, t)
	c.waiting = without(c.waiting, t)
	c.lanes.End(t)
	c.next()
}

func (c *crowd) next() {
	for _, t := range c.lanes.Next() {
		c.busy = append(c.busy, t)
		c.order = append(c.order, t.Errand)
	}
	c.check()
}

// check holds what R17 says against who is where.
func (c *crowd) check() {
	c.t.Helper()
	busy, images := map[laneKind]int{}, map[string]bool{}
	for _, t := range c.busy {
		busy[t.kind]++
		if t.kind != pulls {
			continue
		}
		if images[t.image] {
			c.t.Fatalf("%s is pulled twice at once", t.image)
		}
		images[t.image] = true
	}
	if busy[pulls] > 3 || busy[starts] > 4 || busy[removals] > 2 || busy[asks] > 16 {
		c.t.Fatalf("at once: %v", busy)
	}
	for _, t := range c.waiting {
		full := map[laneKind]int{pulls: 3, starts: 4, removals: 2, asks: 16}
		if !slices.Contains(c.busy, t) && busy[t.kind] < full[t.kind] && !(t.kind == pulls && images[t.image]) {
			c.t.Fatalf("%s waits while there is room: %v", t.Errand, busy)
		}
	}
}

// R17.
func TestLanes_FewAtOnceAndNobodyWaitsWhileThereIsRoom(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 17))
		c := &crowd{t: t}
		joined := 0
		for n := range 400 {
			switch kind := r.IntN(4); {
			case kind < 2:
				c.join([]Op{OpCreate, OpPull, OpStart, OpInspect, OpStop, OpRemove}[r.IntN(6)], fmt.Sprint("img", r.IntN(6)), fmt.Sprint(n))
				joined++
			case kind == 2 && len(c.waiting) > 0:
				c.leave(c.waiting[r.IntN(len(c.waiting))])
			case len(c.busy) > 0:
				c.end(c.busy[r.IntN(len(c.busy))])
			}
		}
		for len(c.busy) > 0 {
			c.end(c.busy[0])
		}
		if len(c.waiting) > 0 {
			t.Fatalf("seed %d: when all calls have ended %d of %d still wait", seed, len(c.waiting), joined)
		}
	}
}

func TestLanes_WhoCameFirstIsFirst(t *testing.T) {
	c := &crowd{t: t}
	for n := range 9 {
		c.join([]Op{OpCreate, OpStart}[n%2], "", fmt.Sprint(n))
	}
	for len(c.busy) > 0 {
		c.end(c.busy[0])
	}
	if got := fmt.Sprint(c.order); got != "[0 1 2 3 4 5 6 7 8]" {
		t.Errorf("calls began in the order %s", got)
	}
}

func TestLanes_ARemovalDoesNotWaitForStarts(t *testing.T) {
	c := &crowd{t: t}
	for n := range 9 {
		c.join(OpStart, "", fmt.Sprint("start", n))
	}
	if c.join(OpRemove, "", "removal"); c.order[len(c.order)-1] != "removal" {
		t.Errorf("begun: %v", c.order)
	}
}

func TestLanes_APullIsCalledOffWithTheLastWhoWaits(t *testing.T) {
	c := &crowd{t: t}
	one := c.join(OpPull, "img", "first")
	if two := c.join(OpPull, "img", "second"); one != two || two.Errand != "first" {
		t.Fatalf("two turns for one image: %+v, %+v", one, two)
	}
	if c.leave(one) {
		t.Error("called off while somebody waits")
	}
	if !c.leave(one) {
		t.Error("not called off although nobody waits")
	}
	again := c.join(OpPull, "img", "third") // before the one that is called off has ended
	if again == one || len(c.busy) != 1 {
		t.Fatalf("who comes later waits for a call that was called off, or beside it: %+v", again)
	}
	if c.end(one); len(c.busy) != 1 || c.busy[0] != again {
		t.Errorf("under way: %+v", c.busy)
	}
}
