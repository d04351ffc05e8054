package cert

import (
	"encoding/binary"
	"time"

	"github.com/dinp/dinp/common/seal"
)

// ticketPeriod is how long a key makes tickets. A ticket is taken for one
// period more: crypto/tls makes them valid for seven days at most, and a
// client that comes later makes a full handshake.
const ticketPeriod = 12 * time.Hour

// tickets are the keys of session tickets, derived from the cluster's secret
// and the period, so that a client resumes its session at any router.
type tickets struct {
	secret []byte // nil: crypto/tls makes and turns keys by itself
	period int64
}

func newTickets(secret string) (*tickets, error) {
	if secret == "" {
		return &tickets{}, nil
	}
	raw, err := seal.Derive(secret, seal.Tickets, 32)
	return &tickets{secret: raw}, err
}

func period(now time.Time) int64 { return now.Unix() / int64(ticketPeriod/time.Second) }

// turned reports whether another key is due.
func (t *tickets) turned(now time.Time) bool { return t.secret != nil && period(now) != t.period }

// at returns the keys of a time: the first makes tickets, all are taken. The
// next period's is among them for the sake of clocks that differ.
func (t *tickets) at(now time.Time) [][32]byte {
	if t.secret == nil {
		return nil
	}
	t.period = period(now)
	out := make([][32]byte, 0, 3)
	for _, p := range []int64{t.period, t.period - 1, t.period + 1} {
		out = append(out, ticketKey(t.secret, p))
	}
	return out
}

func ticketKey(secret []byte, period int64) [32]byte {
	label := binary.BigEndian.AppendUint64(nil, uint64(period))
	raw, err := seal.Derive(string(secret), seal.Tickets+seal.Purpose(label), 32)
	if err != nil {
		panic("cert: derive ticket key: " + err.Error()) // 32 bytes of secret: cannot happen
	}
	return [32]byte(raw)
}
