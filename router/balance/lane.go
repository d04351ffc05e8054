package balance

import (
	"sync"
	"sync/atomic"
)

// RetryBurst is the number of retries that an app's requests may make at once.
const RetryBurst = 20

// Retry budget: a burst, then one retry for five requests, so that retries
// never multiply the load on an app that is failing.
const (
	budgetBurst   = RetryBurst * retryCost
	retryCost     = 5
	requestRefund = 1
)

// Lane is what an app's requests share beyond one table: the retry budget, the
// turn of round robin, and the lock under which its endpoints are ejected.
type Lane struct {
	mu     sync.Mutex
	tokens atomic.Int64
	turn   atomic.Uint64
}

func newLane() *Lane {
	l := &Lane{}
	l.tokens.Store(budgetBurst)
	return l
}

// refund credits a new request.
func (l *Lane) refund() {
	if l.tokens.Load() < budgetBurst {
		l.tokens.Add(requestRefund)
	}
}

// Spend pays for a retry, or reports that the budget is used up.
func (l *Lane) Spend() bool {
	if l.tokens.Add(-retryCost) >= 0 {
		return true
	}
	l.tokens.Add(retryCost)
	return false
}
