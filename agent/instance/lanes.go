package instance

import "slices"

// How much is asked of the engine at once (rule R17). Removals have their own
// lane, so that cleaning up never waits behind slow starts, nor holds them up.
const (
	pullLanes   = 3
	startLanes  = 4
	removeLanes = 2
	askLanes    = 16
)

// Lanes decides who may ask the engine now, given what it is being asked. It
// waits for nothing and knows no time: a shell joins, begins what Next says, and
// says when that has ended. E is what the shell keeps of a turn. The zero value is
// ready for use, by one at a time.
//
// A pull is asked for once however many want its image; it goes on while anyone
// waits for it, and is called off with the last.
type Lanes[E any] struct {
	lanes [laneCount]lane[E]
}

// Turn is one call of the engine, from when it is first wanted until it has ended.
type Turn[E any] struct {
	Errand E // of the shell

	kind    laneKind
	image   string // of a pull
	waiters int    // none: it is called off
	begun   bool
}

// lane lets a few through at a time, in the order in which they came.
type lane[E any] struct {
	waiting, busy []*Turn[E]
}

type laneKind int

const (
	pulls laneKind = iota
	starts
	removals
	asks
	open // for what may be asked at any time
	laneCount
)

// width is how many a lane lets through at a time.
func (k laneKind) width() int { return [...]int{pullLanes, startLanes, removeLanes, askLanes}[k] }

func laneOf(op Op) laneKind {
	switch op {
	case OpPull:
		return pulls
	case OpCreate, OpStart:
		return starts
	case OpRemove:
		return removals
	case OpInspect:
		return asks
	}
	return open
}

// Join asks for a turn; image is that of a pull. The turn is fresh unless others
// wait for the same pull: then its Errand is to be set before Next is asked.
func (l *Lanes[E]) Join(op Op, image string) (t *Turn[E], fresh bool) {
	kind := laneOf(op)
	if kind == pulls {
		if t := l.pull(image); t != nil {
			t.waiters++
			return t, false
		}
	}
	t = &Turn[E]{kind: kind, image: image, waiters: 1}
	l.lanes[kind].waiting = append(l.lanes[kind].waiting, t)
	return t, true
}

// pull finds the turn of an image that somebody waits for.
func (l *Lanes[E]) pull(image string) *Turn[E] {
	for _, of := range [][]*Turn[E]{l.lanes[pulls].busy, l.lanes[pulls].waiting} {
		for _, t := range of {
			if t.image == image && t.waiters > 0 {
				return t
			}
		}
	}
	return nil
}

// Next takes those whose turn it is: they are to be begun at once.
func (l *Lanes[E]) Next() []*Turn[E] {
	var out []*Turn[E]
	for k := range laneCount {
		of := &l.lanes[k]
		for at := 0; at < len(of.waiting) && (k == open || len(of.busy) < k.width()); {
			t := of.waiting[at]
			if k == pulls && of.pulling(t.image) {
				at++ // one that was called off has not ended yet
				continue
			}
			t.begun = true
			of.waiting, of.busy = slices.Delete(of.waiting, at, at+1), append(of.busy, t)
			out = append(out, t)
		}
	}
	return out
}

func (l *lane[E]) pulling(image string) bool {
	return slices.ContainsFunc(l.busy, func(t *Turn[E]) bool { return t.image == image })
}

// Leave says that one who joined waits no longer. It reports whether the call is
// to be called off, which is so when it has begun and that was the last; one that
// has not begun never will.
func (l *Lanes[E]) Leave(t *Turn[E]) (callOff bool) {
	if t.waiters--; t.waiters > 0 {
		return false
	}
	l.lanes[t.kind].waiting = without(l.lanes[t.kind].waiting, t)
	return t.begun
}

// End says that a call that had begun has ended; others may begin then.
func (l *Lanes[E]) End(t *Turn[E]) { l.lanes[t.kind].busy = without(l.lanes[t.kind].busy, t) }

func without[E any](of []*Turn[E], t *Turn[E]) []*Turn[E] {
	return slices.DeleteFunc(of, func(o *Turn[E]) bool { return o == t })
}

// pulling returns how many images are being pulled or wait for that.
func (l *Lanes[E]) pulling() int { return len(l.lanes[pulls].busy) + len(l.lanes[pulls].waiting) }
