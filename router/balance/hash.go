package balance

import (
	"math"
	"time"
)

// HashKey makes the key of a hash policy out of a header's or cookie's value.
// All routers agree on it: FNV-1a with the finisher of SplitMix64.
func HashKey[T string | []byte](value T) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(value) {
		h = (h ^ uint64(value[i])) * 1099511628211
	}
	return mix(h)
}

// mix is the finisher of SplitMix64 (Steele, Lea, Flood 2014): every bit of the
// result depends on every bit of x.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// boundPercent is what an endpoint may hold of its share of all requests in
// flight before a hash policy passes it over.
const boundPercent = 125

// hashed chooses by weighted rendezvous hashing (Thaler and Ravishankar 1998;
// weights by −w/ln u) with bounded load (Mirrokni, Thorup, Zadimoghaddam 2016):
// the endpoint with the highest score for the key among those below 125 % of
// their share. When an endpoint comes or goes, only its own keys move. It looks
// at every endpoint of the pool.
func (q *Pool) hashed(key uint64, now time.Duration, tried []*Endpoint) *Endpoint {
	all := int64(1) // this request
	for _, e := range q.open {
		all += e.inflight.Load()
	}
	var best, spare *Endpoint
	bestScore, spareScore := math.Inf(-1), math.Inf(-1)
	for i, e := range q.open {
		if !e.usable(now, tried) {
			continue
		}
		w := int64(q.weight(i))
		score := score(key, e.Token, w)
		if score > spareScore {
			spare, spareScore = e, score
		}
		full := e.inflight.Load()*int64(q.total())*100 >= all*w*boundPercent
		if score > bestScore && !full {
			best, bestScore = e, score
		}
	}
	if best == nil {
		return spare
	}
	return best
}

func score(key uint64, t Token, weight int64) float64 {
	u := (float64(mix(key^uint64(t))>>11) + 0.5) / (1 << 53) // in (0, 1)
	return -float64(weight) / math.Log(u)
}
