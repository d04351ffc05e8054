package balance

// cycle is the order of the turns of round robin: every number below the sum
// of the weights once, each far from the one before, so that an endpoint's
// turns are spread over the cycle.
type cycle struct {
	turns, stride uint64
	scale         int // weights are divided by it: equal ones make a cycle of one turn each
}

func cycleOf(q *Pool) cycle {
	c := cycle{scale: 1}
	for i := range q.open {
		if i == 0 {
			c.scale = q.weight(0)
		}
		c.scale = gcd(c.scale, q.weight(i))
	}
	c.turns = uint64(q.total() / c.scale)
	// The golden section spreads best; a stride without a common factor visits all.
	c.stride = max(c.turns*618/1000, 1)
	for c.turns > 0 && gcd(int(c.stride), int(c.turns)) != 1 {
		c.stride++
	}
	return c
}

// at returns a number below the sum of the weights for the n-th turn.
func (c cycle) at(n uint64) int { return int(n%c.turns*c.stride%c.turns) * c.scale }

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
