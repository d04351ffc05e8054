package balance

import (
	"cmp"
	"slices"
	"sort"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/route"
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
	peers  []span      // of each of open, where releases have shares of their own; else nil
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
	for _, re := range byRelease(b.Endpoints()) {
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
	q.pair()
	return joined
}

// byRelease puts a release's endpoints together where releases have shares of the
// requests. Where they do not, the order stays.
func byRelease(all []route.Endpoint) []route.Endpoint {
	if !slices.ContainsFunc(all, func(e route.Endpoint) bool { return e.Weight != route.NormalWeight }) {
		return all
	}
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b route.Endpoint) int { return cmp.Compare(a.Release, b.Release) })
	return all
}

// span is a range of open, of one release.
type span struct{ from, to int }

// pair notes each endpoint's peers, those of its release, where releases have
// shares of the requests: then the load is balanced among peers alone. Were it compared across releases, one that answers fast because
// it fails would draw more than its share.
func (q *Pool) pair() {
	q.peers = nil
	if !q.shared() {
		return
	}
	q.peers = make([]span, len(q.open))
	for from := 0; from < len(q.open); {
		to := from + 1
		for to < len(q.open) && q.open[to].Release == q.open[from].Release {
			to++
		}
		for i := from; i < to; i++ {
			q.peers[i] = span{from, to}
		}
		from = to
	}
}

// shared reports whether releases have shares of the requests.
func (q *Pool) shared() bool {
	for i := range q.open {
		if q.weight(i) != route.NormalWeight {
			return true
		}
	}
	return false
}

// peer draws a peer of the i-th endpoint by weight.
func (q *Pool) peer(i int, draw func(int) int) int {
	s := q.peers[i]
	before := q.sums[s.from] - q.weight(s.from)
	return q.index(before + draw(q.sums[s.to-1]-before))
}
