package store

import (
	"context"
	"database/sql"
	"errors"

	"github.com/dinp/dinp/common/model"
)

// BuiltBefore is the last build of an app that succeeded.
type BuiltBefore struct {
	ID, Image, Artifact string
	Release             int // number of the release it made; 0 for none
}

// LastBuilt finds the last build of an app that succeeded; the zero value when there is none.
func (s *Store) LastBuilt(ctx context.Context, appID string) (BuiltBefore, error) {
	return s.builtBefore(ctx, `b.app_id = ? AND b.status = ? AND b.image <> ''`, appID, string(model.BuildSucceeded))
}

// BuiltFrom finds the last build of an app from that artifact; the zero value when there is none.
func (s *Store) BuiltFrom(ctx context.Context, appID, artifact string) (BuiltBefore, error) {
	return s.builtBefore(ctx, `b.app_id = ? AND b.status = ? AND b.artifact = ?`, appID, string(model.BuildSucceeded), artifact)
}

func (s *Store) builtBefore(ctx context.Context, where string, args ...any) (BuiltBefore, error) {
	var b BuiltBefore
	err := s.db.QueryRowContext(ctx, `SELECT b.id, b.image, b.artifact, COALESCE(r.number, 0) FROM builds b LEFT JOIN releases r ON r.id = b.release_id WHERE `+where+` ORDER BY b.created_ms DESC, b.id LIMIT 1`, args...).
		Scan(&b.ID, &b.Image, &b.Artifact, &b.Release)
	if errors.Is(err, sql.ErrNoRows) {
		return BuiltBefore{}, nil
	}
	return b, err
}
