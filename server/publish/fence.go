package publish

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dinp/dinp/common/route"
)

// ErrOldEpoch says that a newer leader has written routes: this one is over.
var ErrOldEpoch = errors.New("a newer leader writes the routes")

// send writes one part under the next seq, if the version in force is the one that it
// builds on. Until the backlog is empty, what Redis holds is not the whole table yet,
// but for changes of one that was whole.
func (p *Publisher) send(ctx context.Context, w part) error {
	v := route.Version{Epoch: p.epoch, Seq: p.seq + 1}
	b := route.Batch{Version: v, Changes: w.changes, Meant: w.meant, Partial: !p.whole && !(p.settled && w.last)}
	b.Anew = b.Partial && p.anew && !w.last
	if b.Changes == nil {
		b.Changes = []route.Change{}
	}
	err := p.table.Write(ctx, b, p.after)
	if errors.Is(err, ErrOldVersion) {
		return p.tooOld(ctx)
	}
	// After a failure it may have been written, or not. The next seq skips this
	// one, so that a late arrival can never be taken for a later write.
	p.seq++
	if err != nil {
		return fmt.Errorf("write routes: %w", err)
	}
	if b.Anew {
		p.begun = v
	}
	p.written, p.after, p.whole, p.owed, p.anew = v, &v, !b.Partial, false, false
	p.inFlight = append(p.inFlight, write{revision: w.revision, version: v, at: p.now()})
	return nil
}

// tooOld tells a newer leader from our own write of which we never saw the
// answer.
func (p *Publisher) tooOld(ctx context.Context) error {
	there, err := p.table.Head(ctx)
	if err != nil {
		return err
	}
	if there.Epoch > p.epoch {
		if p.Newer != nil {
			p.Newer(there.Epoch)
		}
		return ErrOldEpoch
	}
	p.seq = max(p.seq, there.Seq)
	return ErrGap
}

// watch reads the routers' lines and moves Served on.
func (p *Publisher) watch(ctx context.Context) error {
	lines, err := p.table.Routers(ctx)
	if err != nil {
		return err
	}
	lines = p.byOurClock(lines, p.now())
	p.settle(lines, p.now())
	return nil
}

// seenLine is a router's line as it was when it last changed.
type seenLine struct{ written, seen time.Time }

// byOurClock puts in each line the time at which we first saw it, for the time
// that its router wrote: clocks need not agree. A line that we have not seen
// before is taken for new, but for one that is older than any clock is wrong.
func (p *Publisher) byOurClock(lines []route.RouterLine, now time.Time) []route.RouterLine {
	seen := make(map[string]seenLine, len(lines))
	for n, l := range lines {
		was, known := p.lines[l.ID]
		if !known || !was.written.Equal(l.At) {
			was = seenLine{l.At, now}
			if !known && now.Sub(l.At) > anyClock {
				was.seen = l.At
			}
		}
		seen[l.ID], lines[n].At = was, was.seen
	}
	p.lines = seen
	return lines
}

// anyClock is by how much no clock in use is wrong.
const anyClock = 24 * time.Hour

// settle takes the writes off the list that every live router serves, or that
// were waited for long enough: a router that hangs may not hold the others up.
func (p *Publisher) settle(lines []route.RouterLine, now time.Time) {
	done := 0
	for _, w := range p.inFlight {
		patient := now.Sub(w.at) < p.cfg.Patience || p.awaited(lines, now)
		if patient && !servedByAll(lines, w.version, now) {
			break
		}
		done++
	}
	p.mu.Lock()
	p.routers = lines
	moved := done > 0
	if moved {
		p.doneRev = max(p.doneRev, p.inFlight[done-1].revision)
	}
	if len(p.inFlight) == done && p.backlog.empty() && p.synced && (!p.complete || p.settled) && p.doneRev < p.revision {
		p.doneRev, moved = p.revision, true // a Set that changed nothing in the end
	}
	p.mu.Unlock()
	p.inFlight = p.inFlight[done:]
	if moved {
		p.served()
	}
}

// awaited reports whether a live router may have taken nothing of this term, or since
// the table was begun anew in it, because Redis holds a part of the table only
// (route.Head): that one does not hang.
func (p *Publisher) awaited(lines []route.RouterLine, now time.Time) bool {
	return !p.whole && !servedByAll(lines, p.begun, now)
}

func servedByAll(lines []route.RouterLine, v route.Version, now time.Time) bool {
	for _, l := range lines {
		if !l.Stopped && now.Sub(l.At) < route.RouterLive && l.Serves.Less(v) {
			return false
		}
	}
	return true
}
