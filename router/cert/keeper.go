package cert

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Config of a Keeper.
type Config struct {
	Files      []File // certificates on disk
	SelfSigned bool   // answer names without a certificate with one nobody trusts, instead of not at all
	Fallback   File   // a certificate for that, kept over restarts; zero: a new one at each start
	Secret     string // the cluster's; empty: nothing is read from Redis, and tickets are this router's own
	Snapshot   string // file of the last certificates from Redis, sealed as they came; empty: none
}

// File names a certificate and its key on disk, both PEM.
type File struct {
	Chain string `yaml:"chain" help:"PEM file of the certificate, and those between it and its root, for names that nobody has a certificate for"`
	Key   string `yaml:"key" help:"PEM file of its key"`
}

// checkEvery is how often files are looked at and ticket keys turned.
const checkEvery = 10 * time.Second

// Keeper holds the certificates in use. Handshakes read them without a lock.
type Keeper struct {
	cfg Config
	log *slog.Logger

	table  atomic.Pointer[Table]
	config atomic.Pointer[tls.Config]
	self   *tls.Certificate
	misses atomic.Uint64

	mu        sync.Mutex // guards what follows, between Run and Publish
	files     files
	published *published
	tickets   *tickets
}

// New returns a Keeper with the certificates on disk. A file that cannot be
// read is an error now, and only a warning later.
func New(cfg Config, log *slog.Logger) (*Keeper, error) {
	k := &Keeper{cfg: cfg, log: log, files: files{list: cfg.Files}}
	k.table.Store(&Table{})
	var err error
	if k.published, err = newPublished(cfg.Secret, cfg.Snapshot); err != nil {
		return nil, err
	}
	if k.tickets, err = newTickets(cfg.Secret); err != nil {
		return nil, err
	}
	if k.self, err = fallback(cfg, time.Now()); err != nil {
		return nil, err
	}
	if _, err := k.files.load(); err != nil {
		return nil, err
	}
	if err := k.published.restore(); err != nil {
		log.Error("certificates on disk unusable", "err", err)
	}
	k.use()
	k.renewConfig(time.Now())
	return k, nil
}

// fallback returns what names without a certificate are answered with, or nil.
func fallback(cfg Config, now time.Time) (*tls.Certificate, error) {
	switch {
	case cfg.Fallback != File{}:
		return cfg.Fallback.read()
	case cfg.SelfSigned:
		chain, key, err := SelfSigned(now)
		if err != nil {
			return nil, fmt.Errorf("self-signed certificate: %w", err)
		}
		return parse(chain, key)
	}
	return nil, nil
}

// use makes the table of all sources the one in use; files win.
func (k *Keeper) use() { k.table.Store((&Table{}).with(k.published.certs).with(k.files.certs)) }

// Table returns the certificates in use.
func (k *Keeper) Table() *Table { return k.table.Load() }

// Misses counts the handshakes refused for want of a certificate.
func (k *Keeper) Misses() uint64 { return k.misses.Load() }

// TLS returns the configuration to listen with. It stays right: each handshake
// asks for the present one.
func (k *Keeper) TLS() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: protocols(), GetCertificate: k.certificate,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return k.config.Load(), nil },
	}
}

func protocols() []string { return []string{"h2", "http/1.1"} }

// renewConfig makes the configuration with the ticket keys of a time.
func (k *Keeper) renewConfig(now time.Time) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: protocols(), GetCertificate: k.certificate}
	if keys := k.tickets.at(now); keys != nil {
		c.SetSessionTicketKeys(keys)
	}
	k.config.Store(c)
}

// certificate answers a handshake. Nil makes crypto/tls say unrecognized_name,
// which is what it is.
func (k *Keeper) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if c := k.table.Load().Lookup(canon(hello.ServerName)); c != nil {
		return c, nil
	}
	if k.self == nil {
		k.misses.Add(1)
	}
	return k.self, nil
}

// Run looks after files and ticket keys until ctx ends.
func (k *Keeper) Run(ctx context.Context) error {
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			k.check(now)
		}
	}
}

func (k *Keeper) check(now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.tickets.turned(now) {
		k.renewConfig(now)
	}
	changed, err := k.files.load()
	if err != nil {
		k.log.Warn("certificate file not read; the last one stays in use", "err", err)
	}
	if changed {
		k.use()
		k.log.Info("certificates read from files", "names", len(k.files.certs))
	}
}
