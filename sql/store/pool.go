package store

import (
	"context"

	"github.com/dinp/dinp/common/model"
)

// Pool is how the nodes of one name are filled.
type Pool struct {
	Name   string
	Policy model.PoolPolicy
}

// Pools lists the pools that have a policy of their own, by name; all others
// are spread.
func (s *Store) Pools(ctx context.Context) ([]Pool, error) { return pools(ctx, s.db) }

func pools(ctx context.Context, q querier) ([]Pool, error) {
	return list(ctx, q, func(r scanner) (p Pool, err error) {
		return p, r.Scan(&p.Name, &p.Policy)
	}, `SELECT name, policy FROM pools ORDER BY name`)
}

// SetPool says how a pool is filled. What runs stays where it is.
func (s *Store) SetPool(ctx context.Context, p Pool, by model.Actor) error {
	switch {
	case !model.CheckLabel(p.Name):
		return model.E(model.CodeBadConstraint, "%q cannot be the name of a pool", p.Name).WithNext("use letters, digits and ._=/- as in: dinp pool big binpack")
	case p.Policy != model.PoolSpread && p.Policy != model.PoolBinPack:
		return model.E(model.CodeBadRequest, "policy %q is not known", p.Policy).WithNext("use spread or binpack")
	}
	return s.tx(ctx, func(t *tx) error {
		n, err := exec(ctx, t, `UPDATE pools SET policy = ?, updated_ms = ? WHERE name = ?`, string(p.Policy), ms(t.now), p.Name)
		if err != nil {
			return err
		}
		if n == 0 {
			if _, err := t.ExecContext(ctx, `INSERT INTO pools (name, policy, updated_ms) VALUES (?,?,?)`, p.Name, string(p.Policy), ms(t.now)); err != nil {
				return err
			}
		}
		return t.record(ctx, by, model.App{}, "pool."+string(p.Policy), p.Name, "pool "+p.Name+" is filled by "+string(p.Policy), nil)
	})
}
