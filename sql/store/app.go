package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/dinp/dinp/common/model"
)

const appColumns = `id, name, team_id, release_id, instances, paused, maintenance, singleton, placement, COALESCE(routing, ''), promoted, generation, created_ms, updated_ms, deleted_ms`

func scanApp(r scanner) (model.App, error) {
	var a model.App
	var created, updated, deleted int64
	err := r.Scan(&a.ID, &a.Name, &a.TeamID, &a.ReleaseID, &a.Instances, &a.Paused, &a.Maintenance, &a.Singleton, &a.Constraints, &a.Routing, &a.Promoted, &a.Generation, &created, &updated, &deleted)
	a.CreatedAt, a.UpdatedAt, a.DeletedAt = fromMS(created), fromMS(updated), fromMS(deleted)
	return a, err
}

// App finds a living app by name.
func (s *Store) App(ctx context.Context, name string) (model.App, error) {
	return appBy(ctx, s.db, name, `name = ? AND live = 1`, name)
}

// AppByID finds an app by its ID, deleted or not.
func (s *Store) AppByID(ctx context.Context, id string) (model.App, error) {
	return appBy(ctx, s.db, id, `id = ?`, id)
}

func appBy(ctx context.Context, q querier, what, where string, a ...any) (model.App, error) {
	app, err := scanApp(q.QueryRowContext(ctx, `SELECT `+appColumns+` FROM apps WHERE `+where, a...))
	if errors.Is(err, sql.ErrNoRows) {
		return app, model.E(model.CodeNotFound, "there is no app %q", what).WithNext("dinp apps lists them")
	}
	return app, err
}

// Apps lists the living apps by name, those of the given teams when any are
// given, after the name after.
func (s *Store) Apps(ctx context.Context, teams []string, after string, n int) ([]model.App, error) {
	q, a := `SELECT `+appColumns+` FROM apps WHERE live = 1 AND name > ?`, []any{after}
	if teams != nil {
		if len(teams) == 0 {
			return nil, nil
		}
		q, a = q+` AND team_id IN (`+holders(len(teams))+`)`, append(a, args(teams)...)
	}
	return list(ctx, s.db, scanApp, q+` ORDER BY name LIMIT ?`, append(a, limit(n))...)
}

// CreateApp makes an app without a release, wanting one instance.
func (s *Store) CreateApp(ctx context.Context, name, teamID string, by model.Actor) (model.App, error) {
	if err := model.CheckAppName(name); err != nil {
		return model.App{}, err
	}
	app := model.App{ID: NewID(), Name: name, TeamID: teamID, Instances: 1, Generation: 1}
	err := s.tx(ctx, func(t *tx) error {
		app.CreatedAt, app.UpdatedAt = t.now, t.now
		_, err := t.ExecContext(ctx, `INSERT INTO apps (id, name, live, team_id, release_id, instances, paused, maintenance, generation, created_ms, updated_ms, deleted_ms)
			VALUES (?,?,1,?,'',1,0,0,1,?,?,0)`, app.ID, app.Name, app.TeamID, ms(t.now), ms(t.now))
		if isDuplicate(err) {
			return model.E(model.CodeAppTaken, "the app name %q is taken", name).WithNext("choose another name, or see it with: dinp app %s", name)
		}
		if err != nil {
			return err
		}
		return t.record(ctx, by, app, "app.create", name, "app created", nil)
	})
	return app, err
}

// AppEdit is a change of an app's desired state; nil fields stay.
type AppEdit struct {
	Instances   *int
	Paused      *bool
	Maintenance *bool
	Singleton   *bool
	Constraints *model.Constraints
	Promoted    *string                                            // release ID
	Routing     func(model.RoutingText) (model.RoutingText, error) // from what it is to what it shall be
}

// EditApp changes an app's desired state. generation is the one the caller saw,
// or 0 for whatever it is; another one is refused with CodeStale.
func (s *Store) EditApp(ctx context.Context, appID string, generation int64, e AppEdit, by model.Actor) (model.App, error) {
	var app model.App
	err := s.tx(ctx, func(t *tx) (err error) {
		if app, err = t.lockApp(ctx, appID, generation); err != nil {
			return err
		}
		before := app
		if e.Instances != nil {
			if err := model.CheckInstances(*e.Instances); err != nil {
				return err
			}
			app.Instances = *e.Instances
		}
		if e.Paused != nil {
			app.Paused = *e.Paused
		}
		if e.Maintenance != nil {
			app.Maintenance = *e.Maintenance
		}
		if e.Singleton != nil {
			app.Singleton = *e.Singleton
		}
		if e.Constraints != nil {
			app.Constraints = *e.Constraints
		}
		if e.Promoted != nil {
			app.Promoted = *e.Promoted
		}
		if e.Routing != nil {
			if app.Routing, err = e.Routing(app.Routing); err != nil {
				return err
			}
		}
		if err := model.CheckSingleton(app.Name, app.Singleton, app.Instances); err != nil {
			return err
		}
		if app == before {
			return nil
		}
		if err := t.saveApp(ctx, &app); err != nil {
			return err
		}
		verb, text := describeEdit(before, app)
		return t.record(ctx, by, app, verb, app.Name, text, map[string]any{"before": desired(before), "after": desired(app)})
	})
	return app, err
}

func describeEdit(a, b model.App) (verb, text string) {
	switch {
	case a.Instances != b.Instances:
		return "app.scale", fmt.Sprintf("instances %d → %d", a.Instances, b.Instances)
	case a.Maintenance != b.Maintenance:
		return "app.maintenance", "maintenance " + onOff(b.Maintenance)
	case a.Singleton != b.Singleton:
		return "app.singleton", "singleton " + onOff(b.Singleton)
	case a.Constraints != b.Constraints:
		return "app.place", fmt.Sprintf("constraints %s → %s", orAny(a.Constraints), orAny(b.Constraints))
	case a.Routing != b.Routing:
		return "app.routing", "routing settings changed: " + strings.Join(model.RoutingChanges(a.Routing, b.Routing), ", ")
	case a.Promoted != b.Promoted:
		return "app.promote", "the wanted release is let through its remaining steps"
	default:
		return "app.pause", "paused " + onOff(b.Paused)
	}
}

func desired(a model.App) map[string]any {
	return map[string]any{"instances": a.Instances, "paused": a.Paused, "maintenance": a.Maintenance, "singleton": a.Singleton, "constraints": a.Constraints, "release_id": a.ReleaseID}
}

func orAny(c model.Constraints) string {
	if c == "" {
		return "none"
	}
	return string(c)
}

func onOff(b bool) string {
	if b {
		return "on"
	}
	return "off"
}

// lockApp reads a living app for a change. The update that changes nothing takes
// the row's lock in MySQL, where SQLite has locked all: those who edit without a
// generation take turns instead of refusing each other. The generation in the
// UPDATE of saveApp still decides, because a Galera node locks for itself alone.
func (t *tx) lockApp(ctx context.Context, id string, generation int64) (model.App, error) {
	if _, err := t.ExecContext(ctx, `UPDATE apps SET generation = generation WHERE id = ? AND live = 1`, id); err != nil {
		return model.App{}, err
	}
	app, err := appBy(ctx, t, id, `id = ? AND live = 1`, id)
	if err != nil {
		return app, err
	}
	if generation != 0 && generation != app.Generation {
		return app, stale(app, generation)
	}
	return app, nil
}

func stale(app model.App, saw int64) error {
	return model.E(model.CodeStale, "app %s was changed meanwhile: you edited generation %d, it is now %d", app.Name, saw, app.Generation).
		WithNext("look at it again (dinp app %s) and repeat your change", app.Name)
}

// saveApp writes the desired state back iff nobody else did since it was read.
func (t *tx) saveApp(ctx context.Context, app *model.App) error {
	n, err := exec(ctx, t, `UPDATE apps SET release_id = ?, instances = ?, paused = ?, maintenance = ?, singleton = ?, placement = ?, routing = ?, promoted = ?, generation = ?, updated_ms = ?
		WHERE id = ? AND generation = ? AND live = 1`,
		app.ReleaseID, app.Instances, b2i(app.Paused), b2i(app.Maintenance), b2i(app.Singleton), string(app.Constraints), string(app.Routing), app.Promoted, app.Generation+1, ms(t.now), app.ID, app.Generation)
	if err != nil {
		return err
	}
	if n != 1 {
		return raced(*app)
	}
	app.Generation++
	app.UpdatedAt = t.now
	return nil
}

// DeleteApp marks an app as deleted and frees its name and domains; the leader
// then stops its instances. UndeleteApp takes it back.
func (s *Store) DeleteApp(ctx context.Context, appID string, by model.Actor) error {
	return s.tx(ctx, func(t *tx) error {
		app, err := t.lockApp(ctx, appID, 0)
		if err != nil {
			return err
		}
		n, err := exec(ctx, t, `UPDATE apps SET live = NULL, deleted_ms = ?, updated_ms = ?, generation = generation + 1 WHERE id = ? AND live = 1`, ms(t.now), ms(t.now), appID)
		if err != nil || n != 1 {
			return errors.Join(err, notOne(n, app))
		}
		if _, err := t.ExecContext(ctx, `DELETE FROM domains WHERE app_id = ?`, appID); err != nil {
			return err
		}
		return t.record(ctx, by, app, "app.delete", app.Name, "app deleted", desired(app))
	})
}

func notOne(n int64, app model.App) error {
	if n == 1 {
		return nil
	}
	return raced(app)
}

func raced(app model.App) error {
	return model.E(model.CodeStale, "app %s was changed by another at the same moment", app.Name).WithNext("repeat your change")
}

// UndeleteApp brings the app that last had the name back, with its releases,
// instances and environment; its domains are not bound again.
func (s *Store) UndeleteApp(ctx context.Context, name string, by model.Actor) (model.App, error) {
	var app model.App
	err := s.tx(ctx, func(t *tx) (err error) {
		gone, err := list(ctx, t, scanApp, `SELECT `+appColumns+` FROM apps WHERE name = ? AND live IS NULL ORDER BY deleted_ms DESC, id LIMIT 1`, name)
		if err != nil {
			return err
		}
		if len(gone) == 0 {
			return model.E(model.CodeNotFound, "there is no deleted app %q", name)
		}
		app = gone[0]
		if app.ReleaseID != "" {
			r, err := releaseBy(ctx, t, app.ReleaseID, `id = ?`, app.ReleaseID)
			if err == nil {
				err = t.refuseRemoved(ctx, r.Spec.Image)
			}
			if err != nil {
				return err
			}
		}
		n, err := exec(ctx, t, `UPDATE apps SET live = 1, deleted_ms = 0, updated_ms = ?, generation = generation + 1 WHERE id = ? AND live IS NULL`, ms(t.now), app.ID)
		if isDuplicate(err) {
			return model.E(model.CodeAppTaken, "the name %q is used by another app now", name).WithNext("delete that one first")
		}
		if err != nil || n != 1 {
			return errors.Join(err, notOne(n, app))
		}
		app.Generation, app.UpdatedAt, app.DeletedAt = app.Generation+1, t.now, time.Time{}
		return t.record(ctx, by, app, "app.undelete", app.Name, "app brought back", nil)
	})
	return app, err
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
