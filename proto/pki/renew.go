package pki

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"
)

// Renewer gets a request signed for the identity of the present certificate.
type Renewer func(ctx context.Context, request []byte) (certificate []byte, err error)

// longestNap bounds how long the keeper trusts a timer: the clock it is about
// is the wall's, which can be set, and goes on while a machine is suspended.
const longestNap = 10 * time.Minute

// Run renews the certificate before it expires, until ctx ends. It begins when
// a third of the lifetime is left, and then tries again and again.
func (k *Keeper) Run(ctx context.Context, renew Renewer, log *slog.Logger) error {
	last := ""
	for {
		due := k.due()
		if err := nap(ctx, min(time.Until(due), longestNap)); err != nil {
			return err
		}
		if time.Now().Before(due) {
			continue
		}
		err := k.renew(ctx, renew)
		if err == nil {
			last = ""
			log.Info("certificate renewed", "identity", k.Identity().String(), "expires", k.NotAfter())
			continue
		}
		if ctx.Err() == nil && err.Error() != last { // a line for what is new
			last = err.Error()
			log.Warn("certificate not renewed", "identity", k.Identity().String(), "expires", k.NotAfter(), "err", err)
		}
		if err := nap(ctx, k.retryAfter()); err != nil {
			return err
		}
	}
}

// due is when renewing begins, a little earlier for some than for others.
func (k *Keeper) due() time.Time {
	issued, life := k.span()
	return issued.Add(life*2/3 - rand.N(life/10+1))
}

// span is when the certificate was signed, and for how long.
func (k *Keeper) span() (time.Time, time.Duration) {
	leaf := k.pair.Load().leaf
	issued := leaf.NotBefore.Add(setBack)
	return issued, max(leaf.NotAfter.Sub(issued), time.Millisecond)
}

// retryAfter spreads some thirty attempts over the third that is left.
func (k *Keeper) retryAfter() time.Duration {
	_, life := k.span()
	d := min(max(life/100, 100*time.Millisecond), time.Hour)
	return d + rand.N(d/4+1)
}

const renewTimeout = 30 * time.Second

func (k *Keeper) renew(ctx context.Context, renew Renewer) error {
	ctx, cancel := context.WithTimeout(ctx, renewTimeout)
	defer cancel()
	r, err := NewRequest()
	if err != nil {
		return err
	}
	certificate, err := renew(ctx, r.PEM)
	if err != nil {
		return err
	}
	return k.replace(r.key, certificate)
}

func nap(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(max(d, time.Millisecond))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
