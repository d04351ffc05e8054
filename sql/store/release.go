package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/dinp/dinp/common/model"
)

const releaseColumns = `id, app_id, number, spec, build_id, cause, note, created_by, created_ms`

func scanRelease(r scanner) (model.Release, error) {
	var v model.Release
	var spec string
	var created int64
	if err := r.Scan(&v.ID, &v.AppID, &v.Number, &spec, &v.BuildID, &v.Cause, &v.Note, &v.CreatedBy, &created); err != nil {
		return v, err
	}
	v.CreatedAt = fromMS(created)
	if err := json.Unmarshal([]byte(spec), &v.Spec); err != nil {
		return v, fmt.Errorf("release %s: spec: %w", v.ID, err)
	}
	return v, nil
}

// ReleaseByID finds a release.
func (s *Store) ReleaseByID(ctx context.Context, id string) (model.Release, error) {
	return releaseBy(ctx, s.db, id, `id = ?`, id)
}

// Release finds an app's release by its number.
func (s *Store) Release(ctx context.Context, appID string, number int) (model.Release, error) {
	return releaseBy(ctx, s.db, fmt.Sprintf("v%d", number), `app_id = ? AND number = ?`, appID, number)
}

func releaseBy(ctx context.Context, q querier, what, where string, a ...any) (model.Release, error) {
	r, err := scanRelease(q.QueryRowContext(ctx, `SELECT `+releaseColumns+` FROM releases WHERE `+where, a...))
	if errors.Is(err, sql.ErrNoRows) {
		return r, model.E(model.CodeNotFound, "there is no release %s", what).WithNext("dinp releases APP lists them")
	}
	return r, err
}

// Releases lists an app's releases, newest first, with numbers below before
// when that is not 0.
func (s *Store) Releases(ctx context.Context, appID string, before, n int) ([]model.Release, error) {
	q, a := `SELECT `+releaseColumns+` FROM releases WHERE app_id = ?`, []any{appID}
	if before > 0 {
		q, a = q+` AND number < ?`, append(a, before)
	}
	return list(ctx, s.db, scanRelease, q+` ORDER BY number DESC LIMIT ?`, append(a, limit(n))...)
}

// ReleasesByID returns the releases with these IDs, by ID.
func (s *Store) ReleasesByID(ctx context.Context, ids []string) (map[string]model.Release, error) {
	out := make(map[string]model.Release, len(ids))
	for chunk := range slices.Chunk(slices.Sorted(slices.Values(ids)), 500) {
		rs, err := list(ctx, s.db, scanRelease, `SELECT `+releaseColumns+` FROM releases WHERE id IN (`+holders(len(chunk))+`)`, args(chunk)...)
		if err != nil {
			return nil, err
		}
		for _, r := range rs {
			out[r.ID] = r
		}
	}
	return out, nil
}

// NewRelease asks for a release.
type NewRelease struct {
	AppID      string
	Generation int64 // the app's, as the caller saw it; 0: whatever it is
	Cause      model.Cause
	Note       string
	BuildID    string
	Instances  *int
	// Spec makes the new content from the release people want now; base is its
	// zero value with defaults when there is none yet.
	Spec func(base model.Release) (model.Spec, error)
}

// CreateRelease makes the next release of an app and makes it the wanted one.
func (s *Store) CreateRelease(ctx context.Context, n NewRelease, by model.Actor) (model.Release, model.App, error) {
	var rel model.Release
	var app model.App
	err := s.tx(ctx, func(t *tx) (err error) {
		rel, app, err = t.createRelease(ctx, n, by)
		return err
	})
	return rel, app, err
}

func (t *tx) createRelease(ctx context.Context, n NewRelease, by model.Actor) (model.Release, model.App, error) {
	app, err := t.lockApp(ctx, n.AppID, n.Generation)
	if err != nil {
		return model.Release{}, app, err
	}
	base, err := t.wantedRelease(ctx, app)
	if err != nil {
		return model.Release{}, app, err
	}
	spec, err := n.Spec(base)
	if err != nil {
		return model.Release{}, app, err
	}
	rel := model.Release{ID: NewID(), AppID: app.ID, Spec: spec, BuildID: n.BuildID, Cause: n.Cause, Note: clip(n.Note, 1000), CreatedBy: by.Name, CreatedAt: t.now}
	if err := t.insertRelease(ctx, &rel); err != nil {
		return rel, app, err
	}
	app.ReleaseID = rel.ID
	if n.Instances != nil {
		if err := model.CheckInstances(*n.Instances); err != nil {
			return rel, app, err
		}
		app.Instances = *n.Instances
	}
	if err := t.saveApp(ctx, &app); err != nil {
		return rel, app, err
	}
	return rel, app, t.record(ctx, by, app, "release."+string(n.Cause), rel.Version(), releaseText(base, rel), releaseDiff(base, rel))
}

func (t *tx) wantedRelease(ctx context.Context, app model.App) (model.Release, error) {
	if app.ReleaseID == "" {
		return model.Release{Spec: model.Spec{}.WithDefaults()}, nil
	}
	return releaseBy(ctx, t, app.ReleaseID, `id = ?`, app.ReleaseID)
}

func (t *tx) insertRelease(ctx context.Context, r *model.Release) error {
	if r.Spec.Image == "" {
		return model.E(model.CodeNoRelease, "a release needs an image").WithNext("deploy an artifact first: dinp deploy APP FILE")
	}
	if err := r.Spec.Check(); err != nil {
		return err
	}
	if err := t.refuseRemoved(ctx, r.Spec.Image); err != nil {
		return err
	}
	if err := t.QueryRowContext(ctx, `SELECT COALESCE(MAX(number), 0) + 1 FROM releases WHERE app_id = ?`, r.AppID).Scan(&r.Number); err != nil {
		return err
	}
	spec, err := json.Marshal(r.Spec)
	if err != nil {
		return err
	}
	_, err = t.ExecContext(ctx, `INSERT INTO releases (`+releaseColumns+`) VALUES (?,?,?,?,?,?,?,?,?)`,
		r.ID, r.AppID, r.Number, string(spec), r.BuildID, string(r.Cause), r.Note, r.CreatedBy, ms(r.CreatedAt))
	if isDuplicate(err) {
		return model.E(model.CodeStale, "another release was made at the same moment").WithNext("repeat your change")
	}
	return err
}

func releaseText(base, r model.Release) string {
	switch {
	case base.ID == "":
		return fmt.Sprintf("first release %s", r.Version())
	case r.Note != "":
		return fmt.Sprintf("%s → %s: %s", base.Version(), r.Version(), r.Note)
	}
	return fmt.Sprintf("%s → %s", base.Version(), r.Version())
}

// releaseDiff tells what differs, with the names of environment variables but
// never their values: events are read by more people than secrets are meant for.
func releaseDiff(a, b model.Release) map[string]any {
	d := map[string]any{}
	put := func(key string, x, y any) {
		if x != y {
			d[key] = []any{x, y}
		}
	}
	put("image", a.Spec.Image, b.Spec.Image)
	put("memory_mib", a.Spec.MemoryMiB, b.Spec.MemoryMiB)
	put("cpu_milli", a.Spec.CPUMilli, b.Spec.CPUMilli)
	put("port", a.Spec.Port, b.Spec.Port)
	put("health", a.Spec.Health, b.Spec.Health)
	if names := changedEnv(a.Spec.Env, b.Spec.Env); len(names) > 0 {
		d["env_changed"] = names
	}
	return d
}

func changedEnv(a, b map[string]string) []string {
	names := map[string]bool{}
	for k, v := range a {
		if w, ok := b[k]; !ok || v != w {
			names[k] = true
		}
	}
	for k := range b {
		if _, ok := a[k]; !ok {
			names[k] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

const deploymentColumns = `release_id, app_id, from_release_id, status, error, started_ms, deadline_ms, ended_ms, stage, stage_ms, judgement, held`

func scanDeployment(r scanner) (model.Deployment, error) {
	var d model.Deployment
	var failure string
	var started, deadline, ended, stage int64
	if err := r.Scan(&d.ReleaseID, &d.AppID, &d.FromReleaseID, &d.Status, &failure, &started, &deadline, &ended, &d.Stage, &stage, &d.Judgement, &d.Held); err != nil {
		return d, err
	}
	d.StartedAt, d.Deadline, d.EndedAt, d.StageAt = fromMS(started), fromMS(deadline), fromMS(ended), fromMS(stage)
	return d, decodeError(failure, &d.Error)
}

// Deployment finds the deployment of a release; nil while the leader has not
// seen the release yet.
func (s *Store) Deployment(ctx context.Context, releaseID string) (*model.Deployment, error) {
	d, err := scanDeployment(s.db.QueryRowContext(ctx, `SELECT `+deploymentColumns+` FROM deployments WHERE release_id = ?`, releaseID))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &d, nil
}

// Deployments lists an app's deployments by release ID.
func (s *Store) Deployments(ctx context.Context, appID string) (map[string]model.Deployment, error) {
	ds, err := list(ctx, s.db, scanDeployment, `SELECT `+deploymentColumns+` FROM deployments WHERE app_id = ?`, appID)
	if err != nil {
		return nil, err
	}
	out := make(map[string]model.Deployment, len(ds))
	for _, d := range ds {
		out[d.ReleaseID] = d
	}
	return out, nil
}

func encodeError(e *model.Error) string {
	if e == nil {
		return ""
	}
	b, err := json.Marshal(e)
	if err != nil {
		return ""
	}
	return string(b)
}

func decodeError(s string, into **model.Error) error {
	if s == "" {
		return nil
	}
	*into = new(model.Error)
	return json.Unmarshal([]byte(s), *into)
}
