package publish

import (
	"context"
	"errors"

	"github.com/dinp/dinp/common/route"
)

// write brings Redis nearer to the wanted table, by one part at most, and reports
// whether there is more to do at once.
func (p *Publisher) write(ctx context.Context) (more bool, err error) {
	if p.isHeld() {
		return false, nil
	}
	if p.doubtful() {
		if err := p.mend(ctx); err != nil || !p.synced {
			return false, err
		}
	}
	b, ok := p.take()
	if !ok {
		return p.checkLoss(ctx)
	}
	err = p.send(ctx, b)
	if err != nil {
		p.giveBack(b)
		p.synced = false
	}
	if errors.Is(err, ErrGap) {
		return true, nil
	}
	return !b.last, err
}

// doubtful reports whether the table in Redis is to be compared with ours first.
func (p *Publisher) doubtful() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mendDue && p.backlog.empty() {
		p.synced, p.mendDue = false, false
	}
	return !p.synced || p.complete && !p.settled
}

// take takes the next part off the backlog; not ok: nothing is to be written.
func (p *Publisher) take() (b part, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held {
		return part{last: true}, false
	}
	b = p.backlog.take(p.want, p.cfg.Part)
	b.revision = p.backlog.written(p.revision)
	if p.doneRev < p.cleared && !(p.settled && b.last) { // what is stale is still there
		b.revision = min(b.revision, p.cleared-1)
	}
	return b, len(b.changes) > 0 || p.owed
}

func (p *Publisher) isHeld() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.held
}

func (p *Publisher) giveBack(b part) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.backlog.giveBack(b)
}

// checkLoss notices between writes that Redis lost the table, or the last writes
// of it in a failover: no router would ever take those, and after our patience an
// instance would be stopped that they still send to.
func (p *Publisher) checkLoss(ctx context.Context) (lost bool, err error) {
	if p.seq == 0 {
		return false, nil
	}
	h, err := p.table.Head(ctx)
	if err != nil || h != (route.Head{}) && !h.Less(p.written) {
		return false, err
	}
	p.log.Warn("redis has lost routes; writing them anew", "version", h.String(), "written", p.written.String())
	p.lose()
	p.synced = false
	return true, nil
}

// lose notes that what Redis holds is not our table any more, nor what writes that are
// on their way to routers were about: none counts by its age, and the end of what is
// written anew counts for all.
func (p *Publisher) lose() { p.anew, p.whole, p.inFlight = true, false, nil }

// mend compares the whole table with Redis and puts the difference into the backlog.
// Before the table is complete it does nothing where Redis has lost all that the part
// of it could be a part of: routers must not take the beginning of a table for the
// whole of it.
func (p *Publisher) mend(ctx context.Context) error {
	h, err := p.table.Head(ctx)
	if err != nil || p.bare(h) && !p.isComplete() {
		return err
	}
	there, err := p.table.Read(ctx)
	if err != nil {
		return err
	}
	p.compared(h, there)
	return nil
}

// bare reports whether Redis lacks the table on which this term began, or may lack
// it: it was flushed, or has lost all that the term wrote.
func (p *Publisher) bare(h route.Head) bool {
	return h == (route.Head{}) || p.seq > 0 && h.Epoch < p.epoch
}

func (p *Publisher) isComplete() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.complete
}

// compared makes the difference of the table that is there, and its head, to the wanted
// one the backlog. If Redis has lost some of it, the table there is none until the
// difference is written, and no revision that was not served before counts until then: a
// later version than that with which it was written says nothing about it.
func (p *Publisher) compared(h route.Head, there map[string]string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	found := h != (route.Head{})
	lost := p.anew || !found || h.Less(p.written)
	for k, v := range p.want {
		had, ok := there[k]
		_, waits := p.backlog.since[k]
		switch same := ok && had == v; {
		case !same && !waits:
			p.backlog.add(k, p.doneRev+1)
			lost = true
		case same && waits && p.seq == 0: // later, routers may have something else of this term
			p.backlog.drop(k)
		}
	}
	p.backlog.anew(p.surplus(there))
	p.owed = lost || p.written == (route.Version{}) || p.whole != p.complete
	p.synced, p.settled, p.after = true, p.complete, nil
	if found { // what the difference is from
		p.after = &h.Version
	}
	if lost {
		p.lose()
	}
}

// surplus returns what is there and not wanted, but for what Set has deleted, which
// waits. What an earlier leader published and we have no say on yet stays.
func (p *Publisher) surplus(there map[string]string) (stale []string) {
	for k := range p.backlog.since {
		_, wanted := p.want[k]
		_, ok := there[k]
		if !wanted && !ok && p.seq == 0 {
			p.backlog.drop(k)
		}
	}
	for k := range there {
		_, wanted := p.want[k]
		_, waits := p.backlog.since[k]
		if !wanted && !waits && p.complete {
			stale = append(stale, k)
		}
	}
	return stale
}
