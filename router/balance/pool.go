package balance

import (
	"sort"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/router/table"
)

// Policy is how a pool chooses.
type Policy string

// The policies.
const (
	Least      Policy = ""                     // fewer requests in flight for its weight, of two drawn by weight
	RoundRobin Policy = model.PolicyRoundRobin // in turn; a weight counts as so many turns
	Weighted   Policy = model.PolicyWeighted   // drawn by weight alone
	Hash       Policy = model.PolicyHash       // by a key of the request, with bounded load
)

// Pool is a backend of the present table, ready to choose from. Weights are
// here and not in the endpoints: they may change while the state goes on.
type Pool struct {
	policy Policy
	lane   *Lane
	open   []*Endpoint // those with weight
	sums   []int       // running sums of open's weights
	cycle  cycle       // of round robin
}

func newPool(policy Policy, l *Lane) *Pool { return &Pool{policy: policy, lane: l} }

func (q *Pool) add(e *Endpoint, weight int) {
	q.open = append(q.open, e)
	q.sums = append(q.sums, q.total()+weight)
}

// Len returns the number of endpoints that may get requests.
func (q *Pool) Len() int { return len(q.open) }

func (q *Pool) total() int {
	if len(q.sums) == 0 {
		return 0
	}
	return q.sums[len(q.sums)-1]
}

// index returns the open endpoint that a number below the sum of the weights
// falls on.
func (q *Pool) index(n int) int { return sort.SearchInts(q.sums, n+1) }

func (q *Pool) weight(i int) int {
	if i == 0 {
		return q.sums[0]
	}
	return q.sums[i] - q.sums[i-1]
}

// warmUp starts the slow start of the endpoints that joined. It is for joining
// those that are warm: when all are new, there is nobody to spare them.
func (q *Pool) warmUp(joined []*Endpoint, now time.Duration) {
	if len(joined) == len(q.open) {
		return
	}
	for _, e := range joined {
		e.born.Store(int64(max(now, 1)))
	}
}

// fill adds a backend's endpoints, made where they are new, and returns those.
func (q *Pool) fill(b *table.Backend, s *Set) (joined []*Endpoint) {
	for _, re := range b.Endpoints() {
		if re.Weight <= 0 {
			continue
		}
		e, fresh := s.endpointFor(b.Host, re)
		q.add(e, re.Weight)
		if fresh {
			joined = append(joined, e)
		}
	}
	q.cycle = cycleOf(q)
	return joined
}
