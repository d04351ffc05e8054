package source

import (
	"context"
	"iter"
	"time"
)

// pacer has a long job take a fifth of a processor, however long that is. Who
// waits for a processor meanwhile, such as a change of one route, waits for a
// turn of the job and not for its end.
type pacer struct {
	now   func() time.Time
	pause func(time.Duration)
	began time.Time // of the turn
}

const (
	turn     = time.Millisecond
	restsPer = 4        // turns of rest for one of work
	longTurn = 5 * turn // on a busy machine most of a turn is others' work: no rest for more
)

// newPacer begins a job, which rests no more once ctx has ended.
func newPacer(ctx context.Context) *pacer {
	return &pacer{now: time.Now, pause: func(d time.Duration) { pause(ctx, d) }, began: time.Now()}
}

// step is between two steps of the job, each much shorter than a turn.
func (p *pacer) step() {
	took := p.now().Sub(p.began)
	if took < turn {
		return
	}
	p.pause(restsPer * min(took, longTurn))
	p.began = p.now()
}

// paced are the entries, a step each.
func (p *pacer) paced(entries iter.Seq2[string, string]) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for k, v := range entries {
			if !yield(k, v) {
				return
			}
			p.step()
		}
	}
}
