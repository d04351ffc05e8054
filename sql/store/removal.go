package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/retention"
)

// Holdings is what the registry should have of an app's name.
type Holdings struct {
	Releases []retention.Release
	Kept     map[string]string // why, by release ID
	Images   map[string]string // why each image is kept that is; of releases and of recent builds
	Building string            // ID of a build under way, "" for none: nothing of the name is removed now
}

// AppNames lists every name an app has or had.
func (s *Store) AppNames(ctx context.Context) ([]string, error) {
	return list(ctx, s.db, scanString, `SELECT DISTINCT name FROM apps ORDER BY name`)
}

func scanString(r scanner) (v string, err error) {
	err = r.Scan(&v)
	return v, err
}

// Holdings tells what is kept of an app's name, and why.
func (s *Store) Holdings(ctx context.Context, name string, rules retention.Rules) (Holdings, error) {
	var h Holdings
	err := s.view(ctx, func(t *tx) (err error) {
		h, err = t.holdings(ctx, name, rules)
		return err
	})
	return h, err
}

func (t *tx) holdings(ctx context.Context, name string, rules retention.Rules) (Holdings, error) {
	h := Holdings{Images: map[string]string{}}
	var err error
	if h.Releases, err = t.retained(ctx, name); err != nil {
		return h, err
	}
	h.Kept = retention.Keep(h.Releases, rules, t.now)
	builds, err := list(ctx, t, func(r scanner) (b [3]string, err error) {
		err = r.Scan(&b[0], &b[1], &b[2])
		return b, err
	}, `SELECT id, status, image FROM builds WHERE app_name = ? AND (status IN (?, ?) OR image <> '' AND ended_ms > ?)`,
		name, string(model.BuildQueued), string(model.BuildRunning), ms(t.now.Add(-rules.Recent)))
	for _, b := range builds {
		switch {
		case b[1] == string(model.BuildRunning):
			h.Building = b[0]
		case b[2] != "":
			h.Images[b[2]] = "built lately"
		}
	}
	for _, r := range h.Releases {
		if why := h.Kept[r.ID]; why != "" {
			h.Images[r.Image] = why
		}
	}
	return h, err
}

// retained reads the releases of every app that has or had the name.
func (t *tx) retained(ctx context.Context, name string) ([]retention.Release, error) {
	return list(ctx, t, func(r scanner) (v retention.Release, err error) {
		var spec, wanted, status string
		var deleted int64
		var runs, pinned int
		if err := r.Scan(&v.ID, &v.AppID, &v.Number, &spec, &wanted, &deleted, &status, &runs, &pinned); err != nil {
			return v, err
		}
		var s model.Spec
		if err := json.Unmarshal([]byte(spec), &s); err != nil {
			return v, fmt.Errorf("release %s: spec: %w", v.ID, err)
		}
		v.Image, v.Artifact, v.Wanted, v.Deleted = s.Image, s.Artifact, v.ID == wanted, fromMS(deleted)
		v.Runs, v.Pinned = runs > 0 || status == string(model.DeploymentRunning), pinned > 0
		v.Served = status == string(model.DeploymentSucceeded)
		return v, nil
	}, `SELECT r.id, r.app_id, r.number, r.spec, a.release_id, a.deleted_ms, COALESCE(d.status, ''),
		(SELECT COUNT(*) FROM instances i WHERE i.release_id = r.id) + (SELECT COUNT(*) FROM deployments f WHERE f.from_release_id = r.id AND f.status = ?),
		(SELECT COUNT(*) FROM pins p WHERE p.app_id = r.app_id AND p.number = r.number)
		FROM releases r JOIN apps a ON a.id = r.app_id LEFT JOIN deployments d ON d.release_id = r.id WHERE a.name = ? ORDER BY r.app_id, r.number`,
		string(model.DeploymentRunning), name)
}

// BeginRemoval marks the images of an app's name that are not kept as removed, and holds the name's builds up until
// EndRemoval is called or until has passed. candidates are the images that the registry has; those to remove are
// returned, none when a build of the name is under way or another removal is.
func (s *Store) BeginRemoval(ctx context.Context, name, owner string, candidates []string, rules retention.Rules, until time.Time) (remove []string, h Holdings, err error) {
	err = s.tx(ctx, func(t *tx) (err error) {
		// The rows' locks keep claims and new releases of the name apart from this.
		if _, err := t.ExecContext(ctx, `UPDATE apps SET generation = generation WHERE name = ?`, name); err != nil {
			return err
		}
		if h, err = t.holdings(ctx, name, rules); err != nil || h.Building != "" {
			return err
		}
		remove = slices.DeleteFunc(slices.Clone(candidates), func(image string) bool { return h.Images[image] != "" })
		if len(remove) == 0 {
			return nil
		}
		if held, err := t.hold(ctx, name, owner, until); err != nil || !held {
			remove = nil
			return err
		}
		for _, image := range remove {
			if err := t.markRemoved(ctx, image); err != nil {
				return err
			}
		}
		return nil
	})
	return remove, h, err
}

// hold takes the right to remove what name stands for, if nobody has it.
func (t *tx) hold(ctx context.Context, name, owner string, until time.Time) (bool, error) {
	n, err := exec(ctx, t, `UPDATE removals SET owner = ?, until_ms = ? WHERE name = ? AND (owner = ? OR until_ms < ?)`, owner, ms(until), name, owner, ms(t.now))
	if err != nil || n > 0 {
		return n > 0, err
	}
	_, err = t.ExecContext(ctx, `INSERT INTO removals (name, owner, until_ms) VALUES (?,?,?)`, name, owner, ms(until))
	if isDuplicate(err) {
		return false, nil
	}
	return err == nil, err
}

func (t *tx) markRemoved(ctx context.Context, image string) error {
	if _, err := t.ExecContext(ctx, `DELETE FROM removed_images WHERE image = ?`, image); err != nil {
		return err
	}
	_, err := t.ExecContext(ctx, `INSERT INTO removed_images (image, removed_ms) VALUES (?,?)`, image, ms(t.now))
	return err
}

// EndRemoval lets builds of the name, or uploads of the artifact, go on.
func (s *Store) EndRemoval(ctx context.Context, name, owner string) error {
	_, err := exec(ctx, s.db, `DELETE FROM removals WHERE name = ? AND owner = ?`, name, owner)
	return err
}

// removing reports whether what name stands for is being removed.
func (t *tx) removing(ctx context.Context, name string) (bool, error) {
	var n int
	err := t.QueryRowContext(ctx, `SELECT COUNT(*) FROM removals WHERE name = ? AND until_ms > ?`, name, ms(t.now)).Scan(&n)
	return n > 0, err
}

// refuseRemoved refuses to make a release of an image that retention has removed.
func (t *tx) refuseRemoved(ctx context.Context, image string) error {
	var at int64
	found, err := list(ctx, t, func(r scanner) (bool, error) { return true, r.Scan(&at) }, `SELECT removed_ms FROM removed_images WHERE image = ?`, image)
	if err != nil || len(found) == 0 {
		return err
	}
	return model.E(model.CodeImageGone, "the image of that release was removed on %s, because it was none of the last releases", fromMS(at).Format("2006-01-02")).
		WithNext("deploy its artifact again; dinp pin APP vN keeps a release for ever")
}

// TouchArtifact notes that somebody brought an artifact, or asked for it with size 0: it stays for a while (Rules.Recent). While it is being
// removed, that is refused with CodeUnavailable; a moment later it is gone, and may be brought again.
func (s *Store) TouchArtifact(ctx context.Context, sha256hex string, size int64) error {
	return s.tx(ctx, func(t *tx) error { return t.touchArtifact(ctx, sha256hex, size) })
}

func (t *tx) touchArtifact(ctx context.Context, sha256hex string, size int64) error {
	n, err := exec(ctx, t, `UPDATE artifacts SET touched_ms = ?, size = CASE WHEN ? > 0 THEN ? ELSE size END WHERE sha256 = ?`, ms(t.now), size, size, sha256hex)
	if err == nil && n == 0 && size > 0 {
		_, err = t.ExecContext(ctx, `INSERT INTO artifacts (sha256, size, touched_ms) VALUES (?,?,?)`, sha256hex, size, ms(t.now))
	}
	if err != nil {
		return err
	}
	busy, err := t.removing(ctx, artifactHold(sha256hex))
	if err == nil && busy {
		return model.E(model.CodeUnavailable, "artifact %.12s… is being removed at this moment, because nothing used it", sha256hex).WithNext("send it again in a minute")
	}
	return err
}

func artifactHold(sha256hex string) string { return "artifact:" + sha256hex }

// needed tells why an artifact is kept; "" when nothing keeps it.
func (t *tx) needed(ctx context.Context, sha256hex string, rules retention.Rules) (string, error) {
	var touched int64
	var builds int
	err := t.QueryRowContext(ctx, `SELECT COALESCE(MAX(touched_ms), 0) FROM artifacts WHERE sha256 = ?`, sha256hex).Scan(&touched)
	if err == nil {
		err = t.QueryRowContext(ctx, `SELECT COUNT(*) FROM builds WHERE artifact = ? AND (status IN (?, ?) OR ended_ms > ? OR image <> '' AND image NOT IN (SELECT image FROM removed_images))`,
			sha256hex, string(model.BuildQueued), string(model.BuildRunning), ms(t.now.Add(-rules.Recent))).Scan(&builds)
	}
	switch {
	case err != nil:
		return "", err
	case builds > 0:
		return "of an image that is kept", nil
	case touched == 0 || touched > ms(t.now.Add(-rules.Recent)):
		return "brought lately", nil
	}
	return "", nil
}

// ArtifactNeeded tells why an artifact is kept; "" when nothing keeps it. One that was never heard of counts as brought
// at this moment. removed are images that would be gone then, as a dry run thinks.
func (s *Store) ArtifactNeeded(ctx context.Context, sha256hex string, removed []string, rules retention.Rules) (why string, err error) {
	err = s.view(ctx, func(t *tx) (err error) {
		if why, err = t.needed(ctx, sha256hex, rules); err != nil || why == "" || len(removed) == 0 {
			return err
		}
		images, err := list(ctx, t, scanString, `SELECT DISTINCT image FROM builds WHERE artifact = ? AND image <> '' AND image NOT IN (SELECT image FROM removed_images)`, sha256hex)
		if err != nil || len(images) == 0 || slices.ContainsFunc(images, func(i string) bool { return !slices.Contains(removed, i) }) {
			return err
		}
		var other int
		err = t.QueryRowContext(ctx, `SELECT (SELECT COUNT(*) FROM builds WHERE artifact = ? AND (status IN (?, ?) OR ended_ms > ?)) + (SELECT COUNT(*) FROM artifacts WHERE sha256 = ? AND touched_ms > ?)`,
			sha256hex, string(model.BuildQueued), string(model.BuildRunning), ms(t.now.Add(-rules.Recent)), sha256hex, ms(t.now.Add(-rules.Recent))).Scan(&other)
		if other == 0 {
			why = ""
		}
		return err
	})
	return why, err
}

// BeginArtifactRemoval takes the right to remove an artifact that nothing needs, until EndArtifactRemoval or until.
func (s *Store) BeginArtifactRemoval(ctx context.Context, sha256hex, owner string, rules retention.Rules, until time.Time) (held bool, err error) {
	err = s.tx(ctx, func(t *tx) error {
		held = false
		if _, err := t.ExecContext(ctx, `UPDATE artifacts SET touched_ms = touched_ms WHERE sha256 = ?`, sha256hex); err != nil {
			return err
		}
		why, err := t.needed(ctx, sha256hex, rules)
		if err != nil || why != "" {
			return err
		}
		held, err = t.hold(ctx, artifactHold(sha256hex), owner, until)
		return err
	})
	return held, err
}

// EndArtifactRemoval forgets an artifact that was removed, and lets it be brought again.
func (s *Store) EndArtifactRemoval(ctx context.Context, sha256hex, owner string) error {
	return s.tx(ctx, func(t *tx) error {
		n, err := exec(ctx, t, `DELETE FROM removals WHERE name = ? AND owner = ?`, artifactHold(sha256hex), owner)
		if err == nil && n == 1 {
			_, err = t.ExecContext(ctx, `DELETE FROM artifacts WHERE sha256 = ?`, sha256hex)
		}
		if err == nil && n == 1 {
			_, err = t.ExecContext(ctx, `DELETE FROM artifact_bringers WHERE sha256 = ?`, sha256hex)
		}
		return err
	})
}

// BuiltImages returns the image of each build of an app's name that has one, by build ID, and the IDs of those that have
// not ended.
func (s *Store) BuiltImages(ctx context.Context, name string) (images map[string]string, open map[string]bool, err error) {
	images, open = map[string]string{}, map[string]bool{}
	_, err = list(ctx, s.db, func(r scanner) (struct{}, error) {
		var id, image, status string
		err := r.Scan(&id, &image, &status)
		if image != "" {
			images[id] = image
		}
		if !(model.Build{Status: model.BuildStatus(status)}).Ended() {
			open[id] = true
		}
		return struct{}{}, err
	}, `SELECT id, image, status FROM builds WHERE app_name = ?`, name)
	return images, open, err
}

// RecordCollection writes down that garbage was collected.
func (s *Store) RecordCollection(ctx context.Context, by model.Actor, text string) error {
	return s.tx(ctx, func(t *tx) error {
		return t.addEvent(ctx, model.Event{Actor: by.Name, From: by.From, Verb: "registry.gc", Subject: "registry", Message: text})
	})
}

// SeeArtifact notes that the registry has an artifact nobody has heard of: later it may go.
func (s *Store) SeeArtifact(ctx context.Context, sha256hex string) error {
	_, err := s.db.ExecContext(ctx, `INSERT INTO artifacts (sha256, size, touched_ms) VALUES (?,?,?)`, sha256hex, 0, ms(time.Now()))
	if isDuplicate(err) {
		return nil
	}
	return err
}
