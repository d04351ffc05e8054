// Package enrol lets parts into the cluster and out of it: it holds the
// cluster's certificate authority, answers newcomers' tokens and renewals, and
// keeps every server's guard informed of what was revoked. Any server does it,
// leader or not; the database decides whether a token is good.
package enrol

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/proto/pki"
	"github.com/dinp/dinp/sql/store"
)

// Authority signs certificates, each with its row in the database.
type Authority struct {
	store *store.Store
	ca    *pki.CA
	life  time.Duration // of the certificates
}

// Open returns the cluster's authority, which is made when there is none yet.
// Of several that start at once, one makes it.
func Open(ctx context.Context, st *store.Store, secret string, life time.Duration) (*Authority, error) {
	certificate, sealed, err := st.Authority(ctx)
	if err == nil && certificate == "" {
		if err = create(ctx, st, secret); err == nil {
			certificate, sealed, err = st.Authority(ctx)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("the cluster's authority: %w", err)
	}
	ca, err := pki.OpenCA([]byte(certificate), sealed, secret)
	if errors.Is(err, pki.ErrWrongSecret) {
		return nil, model.E(model.CodeBadConfig, "the cluster's secret is not the one its certificate authority was made with").
			WithNext("copy the secret file from a host that works")
	}
	if err != nil {
		return nil, err
	}
	return &Authority{store: st, ca: ca, life: life}, nil
}

func create(ctx context.Context, st *store.Store, secret string) error {
	ca, err := pki.NewCA(time.Now())
	if err != nil {
		return err
	}
	sealed, err := ca.Seal(secret)
	if err != nil {
		return err
	}
	return st.CreateAuthority(ctx, string(ca.PEM()), sealed)
}

// Issue makes a certificate for a part beside the authority, in its memory.
func (a *Authority) Issue(ctx context.Context, id pki.Identity) (*pki.Keeper, error) {
	r, err := pki.NewRequest()
	if err != nil {
		return nil, err
	}
	certificate, err := a.sign(ctx, r.PEM, id, a.store.PutIdentity)
	if err != nil {
		return nil, err
	}
	return r.Answered(certificate, "")
}

// Renewer renews the certificates of a part that Issue has made.
func (a *Authority) Renewer(id pki.Identity) pki.Renewer {
	return func(ctx context.Context, request []byte) ([]byte, error) {
		return a.sign(ctx, request, id, a.store.PutIdentity)
	}
}

// sign signs a request, and hands the certificate out only once keep has it.
func (a *Authority) sign(ctx context.Context, request []byte, id pki.Identity, keep func(context.Context, model.Identity) error) ([]byte, error) {
	s, err := a.ca.Sign(request, id, time.Now(), a.life)
	if err != nil {
		return nil, model.E(model.CodeBadRequest, "%v", err)
	}
	err = keep(ctx, model.Identity{Serial: s.Serial, Role: string(id.Role), Name: id.Name, IssuedAt: s.Issued, ExpiresAt: s.NotAfter})
	return s.PEM, err
}
