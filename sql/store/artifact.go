package store

import (
	"context"
	"slices"
)

// BringArtifact notes that a user has sent an artifact: it stays for a while, as by TouchArtifact, and is theirs to deploy.
func (s *Store) BringArtifact(ctx context.Context, sha256hex string, size int64, userID string) error {
	return s.tx(ctx, func(t *tx) error {
		if err := t.touchArtifact(ctx, sha256hex, size); err != nil {
			return err
		}
		if _, err := t.ExecContext(ctx, `DELETE FROM artifact_bringers WHERE sha256 = ? AND user_id = ?`, sha256hex, userID); err != nil {
			return err
		}
		_, err := t.ExecContext(ctx, `INSERT INTO artifact_bringers (sha256, user_id) VALUES (?,?)`, sha256hex, userID)
		return err
	})
}

// MayUseArtifact reports whether an artifact is for a user who deploys for these teams: one of them, or somebody else of the
// teams, has sent it, or an app of the teams was built from it. Knowing its digest is not enough: that stands in logs
// and statements, and would hand out the file.
func (s *Store) MayUseArtifact(ctx context.Context, sha256hex, userID string, teams []string) (bool, error) {
	teams = append(slices.Clone(teams), "") // no team; a list in SQL must have something in it
	in := `(` + holders(len(teams)) + `)`
	q := `SELECT (SELECT COUNT(*) FROM artifact_bringers WHERE sha256 = ? AND (user_id = ? OR user_id IN (SELECT user_id FROM memberships WHERE team_id IN ` + in + `)))
		+ (SELECT COUNT(*) FROM builds b JOIN apps a ON a.id = b.app_id WHERE b.artifact = ? AND a.team_id IN ` + in + `)`
	var n int
	err := s.db.QueryRowContext(ctx, q, slices.Concat([]any{sha256hex, userID}, args(teams), []any{sha256hex}, args(teams))...).Scan(&n)
	return n > 0, err
}
