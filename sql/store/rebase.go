package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/dinp/dinp/common/model"
)

const rebaseColumns = `id, runtime, batch, status, error, actor, actor_from, created_ms, ended_ms`

func scanRebase(r scanner) (v model.Rebase, err error) {
	var failure string
	var created, ended int64
	if err := r.Scan(&v.ID, &v.Runtime, &v.Batch, &v.Status, &failure, &v.By.Name, &v.By.From, &created, &ended); err != nil {
		return v, err
	}
	v.CreatedAt, v.EndedAt = fromMS(created), fromMS(ended)
	return v, decodeError(failure, &v.Error)
}

// CreateRebase begins a rebase. When one of the runtime goes on already, that is returned.
func (s *Store) CreateRebase(ctx context.Context, r model.Rebase, by model.Actor) (model.Rebase, error) {
	r.ID, r.Status, r.By = NewID(), model.RebaseRunning, by
	err := s.tx(ctx, func(t *tx) error {
		r.CreatedAt = t.now
		_, err := t.ExecContext(ctx, `INSERT INTO rebases (`+rebaseColumns+`, live, driver, until_ms) VALUES (?,?,?,?,?,?,?,?,?,1,'',0)`,
			r.ID, r.Runtime, r.Batch, string(r.Status), "", by.Name, clip(by.From, 64), ms(t.now), 0)
		if err != nil {
			return err
		}
		for i, a := range r.Apps {
			if _, err := t.ExecContext(ctx, `INSERT INTO rebase_apps (rebase_id, seq, app_id, app_name, status, build_id, note) VALUES (?,?,?,?,?,'','')`,
				r.ID, i, a.AppID, a.AppName, string(model.StepWaiting)); err != nil {
				return err
			}
		}
		return t.addEvent(ctx, model.Event{Actor: by.Name, From: by.From, Verb: "rebase.begin", Subject: r.Runtime, Message: "rebase of runtime " + r.Runtime + " begun"})
	})
	if isDuplicate(err) {
		var id string
		if err := s.db.QueryRowContext(ctx, `SELECT id FROM rebases WHERE runtime = ? AND live = 1`, r.Runtime).Scan(&id); err != nil {
			return r, model.E(model.CodeConflict, "another rebase of %s ended at this moment", r.Runtime).WithNext("try again")
		}
		return s.Rebase(ctx, id)
	}
	if err != nil {
		return r, err
	}
	return s.Rebase(ctx, r.ID)
}

// Rebase finds a rebase with its apps.
func (s *Store) Rebase(ctx context.Context, id string) (model.Rebase, error) {
	var r model.Rebase
	err := s.view(ctx, func(t *tx) (err error) {
		r, err = scanRebase(t.QueryRowContext(ctx, `SELECT `+rebaseColumns+` FROM rebases WHERE id = ?`, id))
		if errors.Is(err, sql.ErrNoRows) {
			return model.E(model.CodeNotFound, "there is no rebase %q", clip(id, 40))
		}
		if err != nil {
			return err
		}
		r.Apps, err = list(ctx, t, func(q scanner) (a model.RebaseApp, err error) {
			err = q.Scan(&a.Seq, &a.AppID, &a.AppName, &a.Step, &a.BuildID, &a.Note)
			return a, err
		}, `SELECT seq, app_id, app_name, status, build_id, note FROM rebase_apps WHERE rebase_id = ? ORDER BY seq`, id)
		return err
	})
	return r, err
}

// Rebases lists rebases with their apps, newest first, those begun before the given time when it is set; at most n.
func (s *Store) Rebases(ctx context.Context, before time.Time, n int) ([]model.Rebase, error) {
	q, a := `SELECT `+rebaseColumns+` FROM rebases`, []any{}
	if !before.IsZero() {
		q, a = q+` WHERE created_ms < ?`, append(a, ms(before))
	}
	var out []model.Rebase
	err := s.view(ctx, func(t *tx) (err error) {
		if out, err = list(ctx, t, scanRebase, q+` ORDER BY created_ms DESC, id LIMIT ?`, append(a, limit(n))...); err != nil || len(out) == 0 {
			return err
		}
		place, ids := map[string]int{}, make([]string, len(out))
		for i, r := range out {
			place[r.ID], ids[i] = i, r.ID
		}
		_, err = list(ctx, t, func(q scanner) (a model.RebaseApp, err error) {
			var id string
			if err = q.Scan(&id, &a.Seq, &a.AppID, &a.AppName, &a.Step, &a.BuildID, &a.Note); err == nil {
				r := &out[place[id]]
				r.Apps = append(r.Apps, a)
			}
			return a, err
		}, `SELECT rebase_id, seq, app_id, app_name, status, build_id, note FROM rebase_apps WHERE rebase_id IN (`+holders(len(ids))+`) ORDER BY seq`, args(ids)...)
		return err
	})
	return out, err
}

// RunningRebases lists the IDs of the rebases that go on.
func (s *Store) RunningRebases(ctx context.Context) ([]string, error) {
	return list(ctx, s.db, scanString, `SELECT id FROM rebases WHERE live = 1 ORDER BY created_ms, id`)
}

// DriveRebase takes the right to carry a rebase on until a moment; false when another has it.
func (s *Store) DriveRebase(ctx context.Context, id, driver string, until time.Time) (bool, error) {
	n, err := exec(ctx, s.db, `UPDATE rebases SET driver = ?, until_ms = ? WHERE id = ? AND live = 1 AND (driver = ? OR until_ms < ?)`, driver, ms(until), id, driver, ms(time.Now()))
	return n == 1, err
}

// YieldRebases lets another carry on at once what driver carries on.
func (s *Store) YieldRebases(ctx context.Context, driver string) error {
	_, err := s.db.ExecContext(ctx, `UPDATE rebases SET until_ms = 0 WHERE live = 1 AND driver = ?`, driver)
	return err
}

// BeginRebaseApp queues the build of an app's stored artifact, and notes it; once, however often it is called. An app that
// has nothing to rebuild by now is superseded.
func (s *Store) BeginRebaseApp(ctx context.Context, r model.Rebase, a model.RebaseApp) error {
	return s.tx(ctx, func(t *tx) error {
		app, err := t.lockApp(ctx, a.AppID, 0)
		if model.IsKind(err, model.NotFound) {
			return t.setRebaseApp(ctx, r.ID, a, model.StepWaiting, model.StepSuperseded, "", "the app was deleted")
		}
		if err != nil {
			return err
		}
		rel, err := t.wantedRelease(ctx, app)
		if err != nil {
			return err
		}
		if rel.Spec.Artifact == "" || rel.Spec.Runtime != r.Runtime || rel.BuildID == "" {
			return t.setRebaseApp(ctx, r.ID, a, model.StepWaiting, model.StepSuperseded, "", "the app does not run on "+r.Runtime+" any more")
		}
		old, err := buildBy(ctx, t, rel.BuildID)
		if err != nil {
			return err
		}
		b := model.Build{ID: NewID(), AppID: app.ID, AppName: app.Name, Artifact: rel.Spec.Artifact, Filename: old.Filename, Size: old.Size, Runtime: r.Runtime,
			Status: model.BuildQueued, Deploy: &model.DeployRequest{Note: "rebase of " + r.Runtime}, CreatedBy: r.By.Name, CreatedAt: t.now,
			Origin: model.BuildOrigin{From: r.By.From, Rebase: r.ID}}
		if err := t.setRebaseApp(ctx, r.ID, a, model.StepWaiting, model.StepBuilding, b.ID, ""); err != nil {
			return err
		}
		if err := t.insertBuild(ctx, b); err != nil {
			return err
		}
		return t.record(ctx, r.By, app, "build.create", b.ID, "build of "+b.Source()+" queued by a rebase", map[string]any{"artifact": b.Artifact, "rebase": r.ID})
	})
}

// errTaken ends a transaction whose work another has done.
var errTaken = errors.New("the step was taken already")

// StepRebaseApp notes how far an app is, if it still is where the caller saw it.
func (s *Store) StepRebaseApp(ctx context.Context, rebase string, a model.RebaseApp, to model.RebaseStep, note string) error {
	err := s.tx(ctx, func(t *tx) error { return t.setRebaseApp(ctx, rebase, a, a.Step, to, a.BuildID, note) })
	if errors.Is(err, errTaken) {
		return nil
	}
	return err
}

func (t *tx) setRebaseApp(ctx context.Context, rebase string, a model.RebaseApp, from, to model.RebaseStep, build, note string) error {
	n, err := exec(ctx, t, `UPDATE rebase_apps SET status = ?, build_id = ?, note = ? WHERE rebase_id = ? AND seq = ? AND status = ?`, string(to), build, clip(note, 500), rebase, a.Seq, string(from))
	if err == nil && n != 1 {
		return errTaken
	}
	return err
}

// EndRebase ends a rebase; why is nil when all went well. One that has ended stays as it is.
func (s *Store) EndRebase(ctx context.Context, id string, status model.RebaseStatus, why *model.Error, by model.Actor) error {
	return s.tx(ctx, func(t *tx) error {
		n, err := exec(ctx, t, `UPDATE rebases SET status = ?, live = NULL, error = ?, ended_ms = ? WHERE id = ? AND live = 1`, string(status), encodeError(why), ms(t.now), id)
		if err != nil || n != 1 {
			return err
		}
		e := model.Event{Actor: by.Name, From: by.From, Verb: "rebase." + string(status), Subject: id, Message: "rebase " + string(status)}
		if why != nil {
			e.Outcome, e.Message = string(why.Code), why.Message
		}
		return t.addEvent(ctx, e)
	})
}

// rebased decides what a rebase's build does: nothing, when the app has that image already or runs another artifact by
// now. The reason is for people.
func (t *tx) rebased(ctx context.Context, b model.Build, o BuildOutcome) (skip bool, err error) {
	app, err := t.lockApp(ctx, b.AppID, 0)
	if err != nil {
		return false, err
	}
	rel, err := t.wantedRelease(ctx, app)
	return err == nil && (rel.Spec.Image == o.Image || rel.Spec.Artifact != b.Artifact), err
}

// rebaseOf is the release that a rebase makes: the wanted one on the new image, with all else as it is.
func rebaseOf(b model.Build, o BuildOutcome) NewRelease {
	return NewRelease{AppID: b.AppID, Cause: model.CauseRebase, Note: b.Deploy.Note, BuildID: b.ID, Spec: func(base model.Release) (model.Spec, error) {
		spec := base.Spec
		spec.Image = o.Image
		return spec, nil
	}}
}
