package server

import (
	"context"
	"time"

	"github.com/dinp/dinp/server/acme"
	"github.com/dinp/dinp/server/certs"
	"github.com/dinp/dinp/server/publish"
)

// certificatesEvery is how often the leader looks for changed certificates.
const certificatesEvery = 2 * time.Second

// keepCertificates publishes and renews certificates for one leadership. That it
// cannot is no reason not to lead.
func (s *Server) keepCertificates(ctx context.Context, epoch int64) error {
	target := publish.NewCertificates(s.rdb)
	var issuer certs.Issuer
	if s.cfg.ACME.Enabled() {
		i, err := acme.New(s.cfg.ACME, s.cfg.Secret, target, s.store)
		if err != nil {
			s.log.Error("certificates are not issued", "err", err)
			return nil
		}
		defer i.Close()
		issuer = i
	}
	k, err := certs.New(certs.Config{Secret: s.cfg.Secret, Epoch: epoch, Every: certificatesEvery}, s.store, target, issuer, s.log)
	if err != nil {
		s.log.Error("certificates are not published", "err", err)
		return nil
	}
	return k.Run(ctx)
}
