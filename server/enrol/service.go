package enrol

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/dinp/dinp/common/model"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/proto/pki"
)

// Service implements pb.CertificatesServer.
type Service struct {
	pb.UnimplementedCertificatesServer
	authority *Authority
	log       *slog.Logger
}

// NewService returns the service of an authority.
func NewService(a *Authority, log *slog.Logger) *Service { return &Service{authority: a, log: log} }

// Join implements pb.CertificatesServer.
func (s *Service) Join(ctx context.Context, r *pb.JoinRequest) (*pb.Certificate, error) {
	id := pki.Identity{Role: pki.Role(r.GetRole()), Name: r.GetName()}
	token := pki.Token{Role: id.Role, Secret: r.GetSecret()}
	pem, err := s.authority.sign(ctx, r.GetRequest(), id, func(ctx context.Context, c model.Identity) error {
		return s.authority.store.Join(ctx, token.Hash(), c, model.Actor{Name: "join", From: from(ctx)})
	})
	if err != nil {
		s.log.Warn("join refused", "identity", id.String(), "from", from(ctx), "err", err)
		return nil, s.refusal(err)
	}
	s.log.Info("part joined", "identity", id.String(), "from", from(ctx))
	return &pb.Certificate{Pem: pem}, nil
}

// from is the address of a caller, without its port.
func from(ctx context.Context) string {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return ""
	}
	host, _, err := net.SplitHostPort(p.Addr.String())
	if err != nil {
		return ""
	}
	return host
}

// Renew implements pb.CertificatesServer. The guard has made sure of the caller.
func (s *Service) Renew(ctx context.Context, r *pb.RenewRequest) (*pb.Certificate, error) {
	who := pki.CallerOf(ctx)
	if who == nil {
		return nil, status.Error(codes.Unauthenticated, "no certificate to renew")
	}
	pem, err := s.authority.Renewer(who.Identity)(ctx, r.GetRequest())
	if err != nil {
		s.log.Warn("renewal refused", "identity", who.Identity.String(), "err", err)
		return nil, s.refusal(err)
	}
	return &pb.Certificate{Pem: pem}, nil
}

// refusal tells a caller what it can do something about, and no more.
func (s *Service) refusal(err error) error {
	e, ok := errors.AsType[*model.Error](err)
	if !ok {
		return status.Error(codes.Unavailable, "the certificate could not be kept; the server's log says why")
	}
	text := "[" + string(e.Code) + "] " + e.Message
	if e.Next != "" {
		text += "; " + e.Next
	}
	return status.Error(codes.FailedPrecondition, text)
}

// How often servers look for revocations: so long a revoked part may go on.
const revokeEvery = 2 * time.Second

// Watch keeps the guard informed of what was revoked, until ctx ends. While the
// database is away the last answer stands.
func (a *Authority) Watch(ctx context.Context, g *pki.Guard, log *slog.Logger) error {
	t := time.NewTicker(revokeEvery)
	defer t.Stop()
	failing := false
	for {
		revoked, err := a.store.RevokedIdentities(ctx, time.Now())
		if err == nil {
			g.Revoke(revoked)
		} else if !failing && ctx.Err() == nil {
			log.Warn("revocations not read", "err", err)
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
	}
}
