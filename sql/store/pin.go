package store

import (
	"context"

	"github.com/dinp/dinp/common/model"
)

// SetPin keeps a release's image and artifact for ever, or lets them go by the rules again.
func (s *Store) SetPin(ctx context.Context, appID string, number int, pinned bool, by model.Actor) error {
	return s.tx(ctx, func(t *tx) error {
		app, err := t.lockApp(ctx, appID, 0)
		if err != nil {
			return err
		}
		r, err := releaseBy(ctx, t, model.Release{Number: number}.Version(), `app_id = ? AND number = ?`, appID, number)
		if err != nil {
			return err
		}
		n, err := exec(ctx, t, `DELETE FROM pins WHERE app_id = ? AND number = ?`, appID, number)
		if err != nil {
			return err
		}
		verb, text := "release.unpin", r.Version()+" is kept as long as the rules say"
		if pinned {
			if err := t.refuseRemoved(ctx, r.Spec.Image); err != nil {
				return err
			}
			if _, err := t.ExecContext(ctx, `INSERT INTO pins (app_id, number, created_by, created_ms) VALUES (?,?,?,?)`, appID, number, by.Name, ms(t.now)); err != nil {
				return err
			}
			verb, text = "release.pin", r.Version()+" is kept for ever"
		}
		if pinned == (n > 0) {
			return nil // as it was
		}
		return t.record(ctx, by, app, verb, r.Version(), text, nil)
	})
}

// Pins lists the numbers of an app's pinned releases.
func (s *Store) Pins(ctx context.Context, appID string) (map[int]bool, error) {
	out := map[int]bool{}
	_, err := list(ctx, s.db, func(r scanner) (struct{}, error) {
		var n int
		err := r.Scan(&n)
		out[n] = true
		return struct{}{}, err
	}, `SELECT number FROM pins WHERE app_id = ?`, appID)
	return out, err
}

// RemovedImages tells which of the images retention has removed.
func (s *Store) RemovedImages(ctx context.Context, images []string) (map[string]bool, error) {
	out := map[string]bool{}
	if len(images) == 0 {
		return out, nil
	}
	_, err := list(ctx, s.db, func(r scanner) (struct{}, error) {
		v, err := scanString(r)
		out[v] = true
		return struct{}{}, err
	}, `SELECT image FROM removed_images WHERE image IN (`+holders(len(images))+`)`, args(images)...)
	return out, err
}
