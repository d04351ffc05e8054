// Package certs brings certificates from the database to the routers, and has
// those renewed that an authority issues. The leader alone does so. Private
// keys lie sealed in the database and, with another key, in Redis; in clear
// they are here, in memory, and in the routers.
package certs

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/route"
	"github.com/dinp/dinp/common/seal"
	"github.com/dinp/dinp/server/publish"
)

// Store is what is needed of the database.
type Store interface {
	Certificates(ctx context.Context) ([]model.Certificate, error)
	CertificateIssued(ctx context.Context, c model.Certificate) (kept bool, err error)
	CertificateFailed(ctx context.Context, host string, generation int64, why string, tryAt time.Time) error
}

// Target is where routers read; publish.Certificates is one.
type Target interface {
	Version(ctx context.Context) (route.Version, error)
	Write(ctx context.Context, v route.Version, sealed map[string]string) error
}

// Issuer has a certificate made for a host.
type Issuer interface {
	Issue(ctx context.Context, host string) (chain, key string, err error)
}

// Config of a Keeper.
type Config struct {
	Secret string        // the cluster's
	Epoch  int64         // of this leader
	Every  time.Duration // the database is read so often
}

// Keeper does the work of one leadership.
type Keeper struct {
	cfg    Config
	store  Store
	target Target
	issuer Issuer // nil: certificates of source acme wait
	log    *slog.Logger

	atRest, routers seal.Key
	at              route.Version          // what we last wrote
	sealed          map[string]sealedEntry // what stands in it
	broken          map[string]int64       // generations whose key does not open, said once
}

// sealedEntry is a certificate as routers get it. It is kept, because sealing
// again would make other text, and every router would read it anew.
type sealedEntry struct {
	generation int64
	text       string
}

// New returns a Keeper.
func New(cfg Config, st Store, target Target, issuer Issuer, log *slog.Logger) (*Keeper, error) {
	k := &Keeper{
		cfg: cfg, store: st, target: target, issuer: issuer, log: log,
		sealed: map[string]sealedEntry{}, broken: map[string]int64{}, at: route.Version{Epoch: cfg.Epoch},
	}
	var err, errR error
	k.atRest, err = seal.New(cfg.Secret, seal.AtRest)
	k.routers, errR = seal.New(cfg.Secret, seal.Routers)
	return k, errors.Join(err, errR)
}

// Run publishes and renews until ctx ends. A round that fails is logged, and
// tried again.
func (k *Keeper) Run(ctx context.Context) error {
	tick := time.NewTicker(k.cfg.Every)
	defer tick.Stop()
	for {
		if err := k.round(ctx, time.Now()); err != nil && ctx.Err() == nil {
			k.log.Warn("certificates not looked after", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// round publishes what has changed, then has one certificate issued if one is
// due; the next one waits for the next round, so that nothing holds
// publication up for long.
func (k *Keeper) round(ctx context.Context, now time.Time) error {
	limited, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	all, err := k.store.Certificates(limited)
	if err != nil {
		return err
	}
	if err := k.publish(limited, all); err != nil {
		return err
	}
	for _, c := range all {
		if k.issuer != nil && due(c, now) {
			return k.renew(ctx, c, now)
		}
	}
	return nil
}

// publish writes the set, if it or Redis has changed.
func (k *Keeper) publish(ctx context.Context, all []model.Certificate) error {
	changed := k.sealAll(all)
	there, err := k.target.Version(ctx)
	if err != nil {
		return err
	}
	if !changed && there == k.at {
		return nil
	}
	if there == (route.Version{}) && len(k.sealed) == 0 {
		return nil // nothing to say, and nobody who could think otherwise
	}
	text := make(map[string]string, len(k.sealed))
	for host, e := range k.sealed {
		text[host] = e.text
	}
	if there.Epoch == k.cfg.Epoch {
		k.at.Seq = max(k.at.Seq, there.Seq)
	}
	k.at.Seq++
	if err := k.target.Write(ctx, k.at, text); err != nil {
		return err
	}
	k.log.Info("certificates published", "version", k.at.String(), "count", len(text))
	return nil
}

// sealAll brings sealed up to date and reports whether that changed anything.
func (k *Keeper) sealAll(all []model.Certificate) (changed bool) {
	next := make(map[string]sealedEntry, len(all))
	for _, c := range all {
		if c.Chain == "" {
			continue
		}
		e, ok := k.sealed[c.Host]
		if !ok || e.generation != c.Generation {
			text, err := k.reseal(c)
			if err != nil {
				k.complain(c, err)
				if ok {
					next[c.Host] = e // routers keep what they have
				}
				continue
			}
			e, changed = sealedEntry{c.Generation, text}, true
		}
		next[c.Host] = e
	}
	changed = changed || len(next) != len(k.sealed)
	k.sealed = next
	return changed
}

func (k *Keeper) complain(c model.Certificate, err error) {
	if k.broken[c.Host] != c.Generation {
		k.broken[c.Host] = c.Generation
		k.log.Error("certificate's key not opened; put it again", "host", c.Host, "err", err)
	}
}

func (k *Keeper) reseal(c model.Certificate) (string, error) {
	key, err := k.atRest.Open(c.SealedKey, c.Host)
	if err != nil {
		return "", err
	}
	plain := route.EncodeCertificate(route.Certificate{Chain: c.Chain, Key: string(key)})
	return k.routers.Seal(rand.Reader, []byte(plain), c.Host)
}

// due reports whether a certificate should be asked for now.
func due(c model.Certificate, now time.Time) bool {
	return c.Source == model.ByACME && !now.Before(c.TryAt)
}

// The waits after failures: doubling, as authorities limit how often they are asked.
const (
	retryMin = time.Minute
	retryMax = 12 * time.Hour
)

func retryAfter(failures int) time.Duration { return min(retryMin<<min(failures, 12), retryMax) }

// issueTimeout bounds one issue: authorities take seconds, DNS may take minutes.
const issueTimeout = 5 * time.Minute

// renew has a certificate issued and keeps it.
func (k *Keeper) renew(ctx context.Context, c model.Certificate, now time.Time) error {
	limited, cancel := context.WithTimeout(ctx, issueTimeout)
	defer cancel()
	err := k.issue(limited, &c)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		k.log.Warn("certificate not issued", "host", c.Host, "err", err)
		return k.store.CertificateFailed(ctx, c.Host, c.Generation, err.Error(), now.Add(retryAfter(c.Failures)))
	}
	kept, err := k.store.CertificateIssued(ctx, c)
	if err == nil && kept {
		k.log.Info("certificate issued", "host", c.Host, "until", c.NotAfter, "renew", c.TryAt)
	}
	return err
}

func (k *Keeper) issue(ctx context.Context, c *model.Certificate) error {
	chain, key, err := k.issuer.Issue(ctx, c.Host)
	if err != nil {
		return err
	}
	leaf, err := model.CheckCertificate(c.Host, chain, key, time.Now()) // not when the round began: the certificate is younger
	if err != nil {
		return fmt.Errorf("the authority gave what cannot be used: %w", err)
	}
	c.Chain, c.NotAfter, c.TryAt = chain, leaf.NotAfter, model.RenewAt(leaf.NotBefore, leaf.NotAfter)
	c.SealedKey, err = k.atRest.Seal(rand.Reader, []byte(key), c.Host)
	return err
}

var _ Target = (*publish.Certificates)(nil)
