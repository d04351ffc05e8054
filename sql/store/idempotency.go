package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/dinp/dinp/common/model"
)

// Answer is what a write with an Idempotency-Key was answered.
type Answer struct {
	Status int // HTTP; 0 while the first request is still at work
	Body   string
}

// idempotencyFor is how long an answer is kept.
const idempotencyFor = 24 * time.Hour

// BeginIdempotent claims a key for a request. It returns nil when the request
// is to be carried out, or the earlier answer. The same key with another
// request, or while the first is at work, is refused.
func (s *Store) BeginIdempotent(ctx context.Context, userID, key, requestHash string, now time.Time) (*Answer, error) {
	if _, err := s.db.ExecContext(ctx, `DELETE FROM idempotency WHERE created_ms < ?`, ms(now.Add(-idempotencyFor))); err != nil {
		return nil, err
	}
	_, err := s.db.ExecContext(ctx, `INSERT INTO idempotency (user_id, idem_key, request_hash, status, body, created_ms) VALUES (?,?,?,0,'',?)`, userID, key, requestHash, ms(now))
	if err == nil {
		return nil, nil
	}
	if !isDuplicate(err) {
		return nil, err
	}
	var a Answer
	var hash string
	err = s.db.QueryRowContext(ctx, `SELECT request_hash, status, body FROM idempotency WHERE user_id = ? AND idem_key = ?`, userID, key).Scan(&hash, &a.Status, &a.Body)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, model.E(model.CodeConflict, "the first request with this Idempotency-Key just failed").WithNext("send it again")
	case err != nil:
		return nil, err
	case hash != requestHash:
		return nil, model.E(model.CodeConflict, "this Idempotency-Key was used for another request").WithNext("use a new key for a new request")
	case a.Status == 0:
		return nil, model.E(model.CodeConflict, "the first request with this Idempotency-Key is still at work").WithNext("ask again in a moment")
	}
	return &a, nil
}

// EndIdempotent keeps the answer; status 0 forgets the key, so that the request
// can be tried again.
func (s *Store) EndIdempotent(ctx context.Context, userID, key string, a Answer) error {
	if a.Status == 0 {
		_, err := s.db.ExecContext(ctx, `DELETE FROM idempotency WHERE user_id = ? AND idem_key = ?`, userID, key)
		return err
	}
	_, err := s.db.ExecContext(ctx, `UPDATE idempotency SET status = ?, body = ? WHERE user_id = ? AND idem_key = ?`, a.Status, a.Body, userID, key)
	return err
}
