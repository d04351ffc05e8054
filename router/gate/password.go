package gate

import (
	"context"
	"crypto/sha256"
	"errors"
	"sync"
	"sync/atomic"

	"golang.org/x/crypto/bcrypt"
)

// ErrBusy says that more passwords wait to be compared than is sensible.
var ErrBusy = errors.New("too many passwords to compare")

// Limits of comparing passwords. A comparison takes a processor 50 ms and more,
// and strangers ask for it: one at a time, and what succeeded is remembered.
const (
	maxWaiting    = 64
	maxRemembered = 10_000
)

// Passwords compares passwords with bcrypt hashes, for all apps of a router.
type Passwords struct {
	turn    chan struct{} // size 1
	waiting atomic.Int64
	mu      sync.Mutex // guards good
	good    map[[sha256.Size]byte]struct{}
}

// NewPasswords returns a comparer.
func NewPasswords() *Passwords {
	return &Passwords{turn: make(chan struct{}, 1), good: map[[sha256.Size]byte]struct{}{}}
}

// Matches reports whether password belongs to hash. It returns ErrBusy when
// too many wait already, and the context's error when that ends first.
func (p *Passwords) Matches(ctx context.Context, hash, password string) (bool, error) {
	key := sha256.Sum256([]byte(hash + "\x00" + password))
	if p.remembers(key) {
		return true, nil
	}
	defer p.waiting.Add(-1)
	if p.waiting.Add(1) > maxWaiting {
		return false, ErrBusy
	}
	select {
	case p.turn <- struct{}{}:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	defer func() { <-p.turn }()
	if p.remembers(key) { // who was before us had the same
		return true, nil
	}
	if bcrypt.CompareHashAndPassword([]byte(hash), []byte(password)) != nil {
		return false, nil
	}
	p.remember(key)
	return true, nil
}

func (p *Passwords) remembers(key [sha256.Size]byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, ok := p.good[key]
	return ok
}

func (p *Passwords) remember(key [sha256.Size]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.good) >= maxRemembered {
		clear(p.good)
	}
	p.good[key] = struct{}{}
}
