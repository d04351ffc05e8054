//go:build linux

package fast

// spare are things of a loop that are used again, so that serving allocates
// nothing. What a burst has left over is bounded.
type spare struct {
	small, large [][]byte
	exchanges    []*exchange
	turns        []*client
}

const (
	smallBuffer = 4 << 10
	largeBuffer = bufferSize + 4<<10 // what one read yields, and a head
	maxSpare    = 64
)

// take returns an empty buffer for at least n bytes.
func (s *spare) take(n int) []byte {
	list, size := &s.small, smallBuffer
	switch {
	case n > largeBuffer:
		return make([]byte, 0, n)
	case n > smallBuffer:
		list, size = &s.large, largeBuffer
	}
	last := len(*list) - 1
	if last < 0 {
		return make([]byte, 0, size)
	}
	b := (*list)[last]
	*list = (*list)[:last]
	return b[:0]
}

// give takes a buffer back.
func (s *spare) give(b []byte) {
	switch {
	case cap(b) == smallBuffer && len(s.small) < maxSpare:
		s.small = append(s.small, b)
	case cap(b) == largeBuffer && len(s.large) < maxSpare:
		s.large = append(s.large, b)
	}
}

func (s *spare) takeExchange() *exchange {
	last := len(s.exchanges) - 1
	if last < 0 {
		return &exchange{head: make([]byte, 0, smallBuffer)}
	}
	x := s.exchanges[last]
	s.exchanges = s.exchanges[:last]
	return x
}

// giveExchange takes an exchange back, emptied but for its buffer.
func (s *spare) giveExchange(x *exchange) {
	head := x.head[:0]
	if cap(head) > maxHead {
		head = make([]byte, 0, smallBuffer)
	}
	*x = exchange{head: head}
	if len(s.exchanges) < 4*maxSpare {
		s.exchanges = append(s.exchanges, x)
	}
}
