package store

import (
	"context"
	"database/sql"
	"errors"

	"github.com/dinp/dinp/common/model"
)

// beginSafeMode writes down that a leader changes nothing any more. It is safe to
// repeat: once ended, that of an epoch does not begin again.
func (t *tx) beginSafeMode(ctx context.Context, m model.SafeMode) error {
	var n int
	if err := t.QueryRowContext(ctx, `SELECT COUNT(*) FROM safe_modes WHERE epoch = ?`, m.Epoch).Scan(&n); err != nil || n > 0 {
		return err
	}
	_, err := t.ExecContext(ctx, `INSERT INTO safe_modes (epoch, since_ms, reason) VALUES (?,?,?)`, m.Epoch, ms(m.Since), m.Reason)
	return err
}

// safeMode is the one that people have not ended yet; nil when there is none.
func safeMode(ctx context.Context, t *tx) (*model.SafeMode, error) {
	var m model.SafeMode
	var since int64
	err := t.QueryRowContext(ctx, `SELECT epoch, since_ms, reason FROM safe_modes WHERE ended_ms IS NULL ORDER BY epoch DESC LIMIT 1`).Scan(&m.Epoch, &since, &m.Reason)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	m.Since = fromMS(since)
	return &m, err
}

// EndSafeMode says that the database holds what people want, old as it may be.
// It is a Conflict when there is nothing to end.
func (s *Store) EndSafeMode(ctx context.Context, by model.Actor) error {
	return s.tx(ctx, func(t *tx) error {
		n, err := exec(ctx, t, `UPDATE safe_modes SET ended_ms = ?, ended_by = ? WHERE ended_ms IS NULL`, ms(t.now), by.Name)
		if err != nil {
			return err
		}
		if n == 0 {
			return model.E(model.CodeConflict, "there is no safe mode to end").WithNext("dinp safe-mode tells how things are")
		}
		return t.record(ctx, by, model.App{}, "safe-mode.ended", "", "safe mode ended: the database holds", nil)
	})
}
