package main

import (
	"context"
	"errors"
	"log/slog"

	"golang.org/x/sync/errgroup"

	"github.com/dinp/dinp/proto/pki"
	"github.com/dinp/dinp/server/enrol"
	"github.com/dinp/dinp/sql/store"
)

// renewed is a part whose certificate is kept good while it runs.
type renewed struct {
	part
	keeper *pki.Keeper
	renew  pki.Renewer
	log    *slog.Logger
}

// Run implements part.
func (r *renewed) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if err := r.keeper.Run(ctx, r.renew, r.log); !errors.Is(err, context.Canceled) {
			return err
		}
		return nil
	})
	g.Go(func() error { return r.part.Run(ctx) })
	return g.Wait()
}

// authority opens the cluster's, for a part beside the database.
func (c *config) authority(ctx context.Context, st *store.Store) (*enrol.Authority, error) {
	secret, err := c.secret()
	if err != nil {
		return nil, err
	}
	return enrol.Open(ctx, st, secret, c.Server.CertLife)
}

// signed gives a part beside the database its certificate.
func (c *config) signed(ctx context.Context, st *store.Store, role pki.Role) (*pki.Keeper, pki.Renewer, error) {
	a, err := c.authority(ctx, st)
	if err != nil {
		return nil, nil, err
	}
	k, err := a.Issue(ctx, pki.Identity{Role: role, Name: pki.Name(hostID())})
	if err != nil {
		return nil, nil, err
	}
	return k, a.Renewer(k.Identity()), nil
}
