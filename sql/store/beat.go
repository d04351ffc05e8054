package store

import (
	"context"
	"sync"
	"time"
)

// beats is what this process was told of its lease's beat. Everything a leader
// writes raises the beat in the same transaction, so a database that shows a
// lower one has lost commits that it had acknowledged: it failed over to a
// replica that had not got them.
type beats struct {
	mu    sync.Mutex // guards all below
	epoch int64
	least int64     // the beat can be no lower
	began time.Time // of the epoch's term; zero when another process took the lease
	age   int64     // milliseconds of the term, at the last write that was acknowledged
}

// begin says that this process has taken the lease, with a write that began then.
func (b *beats) begin(epoch, beat int64, began time.Time) {
	b.told(epoch, beat, 0)
	b.mu.Lock()
	defer b.mu.Unlock()
	if epoch == b.epoch {
		b.began = began
	}
}

// now is how old the term of an epoch is, in milliseconds.
func (b *beats) now(epoch int64) int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	if epoch != b.epoch || b.began.IsZero() {
		return 0
	}
	return time.Since(b.began).Milliseconds()
}

// written is how old the term was at the last write that was acknowledged.
func (b *beats) written(epoch int64) int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	if epoch != b.epoch {
		return 0
	}
	return b.age
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

// told takes in an acknowledged beat, and the age that was written with it.
func (b *beats) told(epoch, beat, age int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if epoch > b.epoch {
		b.epoch, b.least, b.began, b.age = epoch, 0, time.Time{}, 0
	}
	if epoch == b.epoch {
		b.least, b.age = max(b.least, beat), max(b.age, age)
	}
}

// underLease runs f in a transaction whose first statement is the lease: ErrLost
// when it is another's, or when commits of it were lost. In both cases the
// holder's memory is of no use any more.
func (s *Store) underLease(ctx context.Context, l Lease, f func(*tx) error) error {
	var beat int64
	age := s.beats.now(l.Epoch)
	err := s.tx(ctx, func(t *tx) error {
		n, err := exec(ctx, t, `UPDATE lease SET beat = beat + 1, age_ms = CASE WHEN age_ms < ? THEN ? ELSE age_ms END WHERE name = ? AND owner = ? AND epoch = ? AND beat >= ?`,
			age, age, l.Name, l.Owner, l.Epoch, s.beats.of(l.Epoch))
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
		s.beats.told(l.Epoch, beat, age)
	}
	return err
}
