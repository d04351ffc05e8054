package store

import (
	"context"
	"sync"
)

// beats is what this process was told of its lease's beat. Everything a leader
// writes raises the beat in the same transaction, so a database that shows a
// lower one has lost commits that it had acknowledged: it failed over to a
// replica that had not got them.
type beats struct {
	mu    sync.Mutex // guards both
	epoch int64
	least int64 // the beat can be no lower
}

// of is the least beat that the lease of an epoch must have; 0 when nothing is
// known of it.
func (b *beats) of(epoch int64) int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	if epoch != b.epoch {
		return 0
	}
	return b.least
}

// told takes in an acknowledged beat.
func (b *beats) told(epoch, beat int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if epoch > b.epoch {
		b.epoch, b.least = epoch, 0
	}
	if epoch == b.epoch {
		b.least = max(b.least, beat)
	}
}

// underLease runs f in a transaction whose first statement is the lease: ErrLost
// when it is another's, or when commits of it were lost. In both cases the
// holder's memory is of no use any more.
func (s *Store) underLease(ctx context.Context, l Lease, f func(*tx) error) error {
	var beat int64
	err := s.tx(ctx, func(t *tx) error {
		n, err := exec(ctx, t, `UPDATE lease SET beat = beat + 1 WHERE name = ? AND owner = ? AND epoch = ? AND beat >= ?`, l.Name, l.Owner, l.Epoch, s.beats.of(l.Epoch))
		if err != nil {
			return err
		}
		if n != 1 {
			return ErrLost
		}
		if err := t.QueryRowContext(ctx, `SELECT beat FROM lease WHERE name = ?`, l.Name).Scan(&beat); err != nil {
			return err
		}
		return f(t)
	})
	if err == nil {
		s.beats.told(l.Epoch, beat)
	}
	return err
}
