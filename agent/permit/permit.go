// Package permit says how long a node may go on with its singletons (rule R11).
//
// A leader that hears nothing of a node takes it for lost after a time that it
// names, and then starts a replacement elsewhere. So a singleton may only run
// while its node can prove that this time is not over: each message of the leader
// tells the last one that it has heard, and the node knows when it sent that.
// Counted from the sending, by the node's own clock, the proof needs no clocks
// that agree. It is on disk, so that a restarted agent does not begin anew.
package permit

import (
	"log/slog"
	"sync"
	"time"

	"github.com/dinp/dinp/agent/journal"
)

// Proof is the last word of a leader, in the journal.
type Proof = journal.Contact

// Share of the time until a node is lost, after which singletons are told to
// stop, and which they have for it. The rest is for engines and clocks.
const (
	stopAfter = 2 // fifths
	graceFor  = 1
	shares    = 5
)

// maxAsked is how many messages are remembered. A leader that has nothing to say
// answers none of them, but tells the last one with what it says next.
const maxAsked = 64

// Due is when singletons are told to stop, and how long they have for it.
func Due(p Proof) (at time.Time, grace time.Duration) {
	return p.At.Add(p.Limit * stopAfter / shares), p.Limit * graceFor / shares
}

// Permit keeps the proof of one node. It is safe for concurrent use.
type Permit struct {
	journal *journal.Journal
	log     *slog.Logger

	mu    sync.Mutex // guards all below
	proof Proof
	began time.Time // proof.At with a monotonic reading; zero after a restart
	asked []asked
	limit time.Duration // as the present leader names it; 0: it names none
}

type asked struct {
	seq uint64
	at  time.Time
}

// New returns the permit as the journal has it.
func New(j *journal.Journal, log *slog.Logger) *Permit {
	return &Permit{journal: j, log: log, proof: j.Contact()}
}

// Open begins a session: what was asked in the one before is not answered in it.
// The leader has heard the message sent at hello, and takes the node for lost
// when it has heard nothing for limit.
func (p *Permit) Open(hello time.Time, limit time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked, p.limit = nil, limit
	p.renew(hello)
}

// Ask notes that a message with a number is being sent.
func (p *Permit) Ask(seq uint64, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.asked) == maxAsked {
		p.asked = append(p.asked[:0], p.asked[1:]...)
	}
	p.asked = append(p.asked, asked{seq, now})
}

// Heard takes in that the leader has heard all messages up to a number.
func (p *Permit) Heard(seq uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for n < len(p.asked) && p.asked[n].seq <= seq {
		n++
	}
	if n == 0 {
		return
	}
	at := p.asked[n-1].at
	p.asked = append([]asked(nil), p.asked[n:]...)
	p.renew(at)
}

// renew needs mu.
func (p *Permit) renew(at time.Time) {
	if p.limit <= 0 || at.Before(p.began) {
		return
	}
	p.began, p.proof = at, Proof{At: at, Limit: p.limit}
	if err := p.journal.PutContact(p.proof); err != nil {
		p.log.Error("journal not written", "err", err) // a restart stops singletons earlier than need be
	}
}

// Left is how long singletons may go on, not positive when they must stop now,
// and how long they then have for it. The machine may have slept, which only the
// wall clock tells, or its clock may have been set, which only the other does not
// feel: whichever says sooner counts.
func (p *Permit) Left(now time.Time) (left, grace time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	due, grace := Due(p.proof)
	left = due.Round(0).Sub(now.Round(0)) // by the wall clock, which goes on while a machine sleeps
	if !p.began.IsZero() {
		monotonic, _ := Due(Proof{At: p.began, Limit: p.proof.Limit})
		left = min(left, monotonic.Sub(now))
	} else if p.proof.At.After(now) {
		return 0, grace // the clock was set back while we were away: it proves nothing
	}
	return left, grace
}
