package routes

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/dinp/dinp/common/route"
)

func endpointsFor(mine, rest int) (out []route.Endpoint) {
	for n := range mine + rest {
		release := 1
		if n < mine {
			release = 2
		}
		out = append(out, route.Endpoint{Release: release, Weight: route.NormalWeight})
	}
	return out
}

// share is what release 2 gets of the requests, in 1/1000.
func share(all []route.Endpoint) int {
	sum, mine := 0, 0
	for _, e := range all {
		sum += e.Weight
		if e.Release == 2 {
			mine += e.Weight
		}
	}
	return mine * 1000 / sum
}

func TestSplit_IsOfRequestsAndNotOfInstances(t *testing.T) {
	cases := map[string]struct {
		split      Split
		mine, rest int
		want       int // 1/1000
		endpoints  int
	}{
		"no split":                               {Split{}, 1, 3, 250, 4},
		"one beside one":                         {Split{2, 10, 1}, 1, 1, 100, 2},
		"one beside nine":                        {Split{2, 10, 1}, 1, 9, 100, 10},
		"one beside a thousand":                  {Split{2, 10, 1}, 1, 1000, 100, 1001},
		"five beside ten":                        {Split{2, 50, 5}, 5, 10, 500, 15},
		"two of five get two fifths of it":       {Split{2, 50, 5}, 2, 10, 200, 12},
		"more than asked share the same":         {Split{2, 10, 1}, 2, 4, 100, 6},
		"none of it":                             {Split{2, 0, 4}, 4, 4, 0, 4},
		"all of it":                              {Split{2, 100, 4}, 4, 4, 1000, 4},
		"all of it, and one has failed":          {Split{2, 100, 4}, 3, 4, 1000, 3},
		"none of it, and nobody else is there":   {Split{2, 0, 4}, 4, 0, 1000, 4},
		"all of it, and none of it is there":     {Split{2, 100, 4}, 0, 4, 0, 4},
		"a tenth of it, and nobody else's there": {Split{2, 10, 1}, 1, 0, 1000, 1},
	}
	for name, c := range cases {
		got := c.split.weigh(endpointsFor(c.mine, c.rest))
		if len(got) != c.endpoints || share(got) != c.want {
			t.Errorf("%s: %d endpoints, a share of %d/1000; want %d, %d/1000", name, len(got), share(got), c.endpoints, c.want)
		}
	}
}

func TestProperty_AShareIsNeverMoreThanWasAskedFor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		percent := rapid.IntRange(1, 99).Draw(t, "percent")
		mine, rest, of := rapid.IntRange(1, 1000).Draw(t, "mine"), rapid.IntRange(1, 1000).Draw(t, "rest"), rapid.IntRange(1, 1000).Draw(t, "of")
		w, o := weights(percent, of, mine, rest)
		if w < 1 || o < 1 || w > maxWeight || o > maxWeight {
			t.Fatalf("weights %d and %d", w, o)
		}
		got, asked := float64(w*mine)/float64(w*mine+o*rest), float64(percent*min(mine, of))/float64(100*of)
		if w > 1 && got > asked*1.0000001 || got < asked*.45 {
			t.Fatalf("%d of %d at %d %% beside %d get %.4f of the requests, want %.4f: weights %d and %d", mine, of, percent, rest, got, asked, w, o)
		}
	})
}
