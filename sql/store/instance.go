package store

import (
	"context"
	"database/sql"
	"slices"
	"strings"

	"github.com/dinp/dinp/common/model"
)

const instanceColumns = `id, app_id, release_id, slot, role, live, node_id, reason, epoch, created_ms, stopped_ms`

func scanInstance(r scanner) (model.Instance, error) {
	var i model.Instance
	var live sql.NullInt64
	var created, stopped int64
	err := r.Scan(&i.ID, &i.AppID, &i.ReleaseID, &i.Slot, &i.Role, &live, &i.NodeID, &i.Reason, &i.Epoch, &created, &stopped)
	i.Stopping, i.CreatedAt, i.StoppedAt = !live.Valid, fromMS(created), fromMS(stopped)
	return i, err
}

// Instances lists an app's placements by slot.
func (s *Store) Instances(ctx context.Context, appID string) ([]model.Instance, error) {
	return list(ctx, s.db, scanInstance, `SELECT `+instanceColumns+` FROM instances WHERE app_id = ? ORDER BY slot, role, id`, appID)
}

// HasInstance reports whether an instance has a row.
func (s *Store) HasInstance(ctx context.Context, id string) (bool, error) {
	var n int
	err := s.db.QueryRowContext(ctx, `SELECT COUNT(*) FROM instances WHERE id = ?`, id).Scan(&n)
	return n > 0, err
}

// Wish is the whole of what people want of the apps, read in one snapshot.
type Wish struct {
	Apps           []model.App // living ones, and deleted ones that may have instances left
	Domains        []model.Domain
	Availabilities map[string]model.Availability // by node ID
	Pools          []Pool                        // that have a policy of their own
	Safe           *model.SafeMode               // that people have not ended; nil: none
}

// Wish reads the desired state of all apps. Releases are read apart, by ID:
// they never change.
func (s *Store) Wish(ctx context.Context) (Wish, error) {
	w := Wish{Availabilities: map[string]model.Availability{}}
	err := s.view(ctx, func(t *tx) (err error) {
		w.Apps, err = list(ctx, t, scanApp, `SELECT `+appColumns+` FROM apps WHERE live = 1 OR id IN (SELECT app_id FROM instances) ORDER BY id`)
		if err != nil {
			return err
		}
		if w.Domains, err = list(ctx, t, scanDomain, `SELECT host, app_id, created_ms FROM domains ORDER BY host`); err != nil {
			return err
		}
		if w.Pools, err = pools(ctx, t); err != nil {
			return err
		}
		if w.Safe, err = safeMode(ctx, t); err != nil {
			return err
		}
		_, err = list(ctx, t, func(r scanner) (struct{}, error) {
			var id string
			var a model.Availability
			err := r.Scan(&id, &a)
			w.Availabilities[id] = a
			return struct{}{}, err
		}, `SELECT node_id, availability FROM availabilities`)
		return err
	})
	return w, err
}

// insertInstances writes many rows a statement: the leader places in batches.
func (t *tx) insertInstances(ctx context.Context, in []model.Instance) error {
	for chunk := range slices.Chunk(in, 100) {
		var a []any
		for _, i := range chunk {
			a = append(a, i.ID, i.AppID, i.ReleaseID, i.Slot, string(i.Role), liveOf(i), i.NodeID, string(i.Reason), i.Epoch, ms(i.CreatedAt), ms(i.StoppedAt))
		}
		q := `INSERT INTO instances (` + instanceColumns + `) VALUES ` + strings.TrimSuffix(strings.Repeat(`(?,?,?,?,?,?,?,?,?,?,?),`, len(chunk)), ",")
		if _, err := t.ExecContext(ctx, q, a...); err != nil {
			return err
		}
	}
	return nil
}

func liveOf(i model.Instance) any {
	if i.Stopping {
		return nil
	}
	return 1
}

func (t *tx) deleteInstances(ctx context.Context, ids []string) error {
	for chunk := range slices.Chunk(ids, 500) {
		if _, err := t.ExecContext(ctx, `DELETE FROM instances WHERE id IN (`+holders(len(chunk))+`)`, args(chunk)...); err != nil {
			return err
		}
	}
	return nil
}
