package routes

import (
	"slices"

	"github.com/dinp/dinp/common/route"
)

// Split gives one release a share of an app's requests. The zero Split gives all
// instances alike.
type Split struct {
	Release int // its number
	Percent int // of the requests, for all of its instances together
	Of      int // instances that are to share it: while fewer serve, they get less
}

const maxWeight = 10_000 // in the table

// weigh lays the split over endpoints. A share is one of requests, so an
// endpoint's weight follows from how many there are on either side; rounding
// gives the release less, never more. With nobody on the other side there is
// nothing to split: who is there answers.
func (s Split) weigh(all []route.Endpoint) []route.Endpoint {
	is := func(e route.Endpoint) bool { return e.Release == s.Release }
	mine := 0
	for _, e := range all {
		if is(e) {
			mine++
		}
	}
	rest := len(all) - mine
	switch {
	case s.Release == 0 || mine == 0 || rest == 0:
		return all
	case s.Percent >= 100:
		return slices.DeleteFunc(all, func(e route.Endpoint) bool { return !is(e) })
	case s.Percent <= 0:
		return slices.DeleteFunc(all, is)
	}
	weight, other := weights(s.Percent, max(s.Of, 1), mine, rest)
	for n := range all {
		if all[n].Weight = other; is(all[n]) {
			all[n].Weight = weight
		}
	}
	return all
}

// weights are those of one endpoint of the release and of one of the others, so
// that mine of the one get percent of the requests beside rest of the others: a
// part of it while they are fewer than of. They have no common divisor, so two that
// are equal are 1, and no normal weights: a half is a share, too.
//
//	weight·mine : other·rest = share : 1-share, where share = percent/100 · min(mine, of)/of
func weights(percent, of, mine, rest int) (weight, other int) {
	part := percent * min(mine, of)
	weight, other = part*rest, (100*of-part)*mine
	g := gcd(weight, other)
	weight, other = weight/g, other/g
	if top := max(weight, other); top > maxWeight {
		weight, other = max(1, weight*maxWeight/top), (other*maxWeight+top-1)/top
	}
	return weight, other
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
