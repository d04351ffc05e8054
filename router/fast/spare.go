//go:build linux

package fast

// spare are things of a loop that are used again, so that serving allocates
// nothing. What a burst has left over is bounded.
type spare struct {
	buffers   [len(sizes)][][]byte
	exchanges []*exchange
}

// sizes of the buffers: for nearly all heads, for long ones, for the longest,
// and for what one read yields behind a head. Who sends a head in drops holds
// no more than is of use for what has come of it.
var sizes = [...]int{smallBuffer, 16 << 10, maxHead, bufferSize + 4<<10}

// maxSpare is how many of each size are kept. Of the smallest every request
// under way has one, with its exchange.
var maxSpare = [len(sizes)]int{maxExchanges, 64, 64, 64}

const (
	smallBuffer  = 4 << 10
	maxExchanges = 1 << 10 // 5 MiB with their heads
)

// take returns an empty buffer for at least n bytes.
func (s *spare) take(n int) []byte {
	for i, size := range sizes {
		if n > size {
			continue
		}
		last := len(s.buffers[i]) - 1
		if last < 0 {
			return make([]byte, 0, size)
		}
		b := s.buffers[i][last]
		s.buffers[i] = s.buffers[i][:last]
		return b
	}
	return make([]byte, 0, n)
}

// give takes a buffer back.
func (s *spare) give(b []byte) {
	for i, size := range sizes {
		if cap(b) == size && len(s.buffers[i]) < maxSpare[i] {
			s.buffers[i] = append(s.buffers[i], b[:0])
		}
	}
}

func (s *spare) takeExchange() *exchange {
	last := len(s.exchanges) - 1
	if last < 0 {
		return &exchange{}
	}
	x := s.exchanges[last]
	s.exchanges = s.exchanges[:last]
	return x
}

// giveExchange takes an exchange back, emptied.
func (s *spare) giveExchange(x *exchange) {
	*x = exchange{}
	if len(s.exchanges) < maxExchanges {
		s.exchanges = append(s.exchanges, x)
	}
}
