package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dinp/dinp/common/model"
)

const buildColumns = `id, app_id, app_name, artifact, filename, size, image_ref, runtime, status, step, image, error, deploy, release_id,
	created_by, created_ms, started_ms, ended_ms, builder_id, lease_ms, cancel, origin, attempts`

func scanBuild(r scanner) (model.Build, error) {
	var b model.Build
	var failure, deploy, origin string
	var created, started, ended, lease int64
	err := r.Scan(&b.ID, &b.AppID, &b.AppName, &b.Artifact, &b.Filename, &b.Size, &b.ImageRef, &b.Runtime, &b.Status, &b.Step, &b.Image, &failure, &deploy, &b.ReleaseID,
		&b.CreatedBy, &created, &started, &ended, &b.BuilderID, &lease, &b.Cancel, &origin, &b.Attempts)
	if err != nil {
		return b, err
	}
	b.CreatedAt, b.StartedAt, b.EndedAt, b.LeaseUntil = fromMS(created), fromMS(started), fromMS(ended), fromMS(lease)
	if deploy != "" {
		b.Deploy = new(model.DeployRequest)
		if err := json.Unmarshal([]byte(deploy), b.Deploy); err != nil {
			return b, fmt.Errorf("build %s: deploy: %w", b.ID, err)
		}
	}
	if origin != "" {
		if err := json.Unmarshal([]byte(origin), &b.Origin); err != nil {
			return b, fmt.Errorf("build %s: origin: %w", b.ID, err)
		}
	}
	return b, decodeError(failure, &b.Error)
}

// CreateBuild queues a build. ID, Status and times are set here.
func (s *Store) CreateBuild(ctx context.Context, b model.Build, by model.Actor) (model.Build, error) {
	b.ID, b.Status, b.CreatedBy = NewID(), model.BuildQueued, by.Name
	err := s.tx(ctx, func(t *tx) error {
		app, err := t.lockApp(ctx, b.AppID, 0)
		if err != nil {
			return err
		}
		b.AppName, b.CreatedAt = app.Name, t.now
		if err := t.insertBuild(ctx, b); err != nil {
			return err
		}
		return t.record(ctx, by, app, "build.create", b.ID, "build of "+b.Source()+" queued", map[string]any{"artifact": b.Artifact, "size": b.Size})
	})
	return b, err
}

// insertBuild queues a build.
func (t *tx) insertBuild(ctx context.Context, b model.Build) error {
	deploy := ""
	if b.Deploy != nil {
		d, err := json.Marshal(b.Deploy)
		if err != nil {
			return err
		}
		deploy = string(d)
	}
	origin, err := originText(b.Origin)
	if err != nil {
		return err
	}
	_, err = t.ExecContext(ctx, `INSERT INTO builds (`+buildColumns+`, build_key, claims) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,'',0)`,
		b.ID, b.AppID, b.AppName, b.Artifact, clip(b.Filename, 255), b.Size, clip(b.ImageRef, 500), b.Runtime, string(b.Status), "", "", "", deploy, "",
		b.CreatedBy, ms(t.now), 0, 0, "", 0, 0, origin, 0)
	return err
}

// maxOrigin is what the column takes; what does not fit is refused, because half a URL is another URL.
const maxOrigin = 4000

func originText(o model.BuildOrigin) (string, error) {
	o.Job = clip(o.Job, 500)
	if o == (model.BuildOrigin{}) {
		return "", nil
	}
	text, err := json.Marshal(o)
	if err == nil && len(text) > maxOrigin {
		return "", model.E(model.CodeBadRequest, "the URL is %d characters long; at most about %d are kept", len(o.URL), maxOrigin-1000)
	}
	return string(text), err
}

// Build finds a build.
func (s *Store) Build(ctx context.Context, id string) (model.Build, error) {
	return buildBy(ctx, s.db, id)
}

func buildBy(ctx context.Context, q querier, id string) (model.Build, error) {
	b, err := scanBuild(q.QueryRowContext(ctx, `SELECT `+buildColumns+` FROM builds WHERE id = ?`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return b, model.E(model.CodeNotFound, "there is no build %q", id).WithNext("dinp builds lists them")
	}
	return b, err
}

// Builds lists the builds of an app, or of all apps for "", newest first, those
// made before the given time when it is set.
func (s *Store) Builds(ctx context.Context, appID string, before time.Time, n int) ([]model.Build, error) {
	q, a := `SELECT `+buildColumns+` FROM builds WHERE (? = '' OR app_id = ?)`, []any{appID, appID}
	if !before.IsZero() {
		q, a = q+` AND created_ms < ?`, append(a, ms(before))
	}
	return list(ctx, s.db, scanBuild, q+` ORDER BY created_ms DESC, id LIMIT ?`, append(a, limit(n))...)
}

// CancelBuild asks for the end of a build. One that is still queued ends at once.
func (s *Store) CancelBuild(ctx context.Context, id string, by model.Actor) (model.Build, error) {
	var b model.Build
	err := s.tx(ctx, func(t *tx) (err error) {
		if b, err = buildBy(ctx, t, id); err != nil || b.Ended() {
			return err
		}
		stopped := model.E(model.CodeBuildStopped, "cancelled by %s", by.Name)
		n, err := exec(ctx, t, `UPDATE builds SET cancel = 1, status = ?, error = ?, ended_ms = ? WHERE id = ? AND status = ?`,
			string(model.BuildCancelled), encodeError(stopped), ms(t.now), id, string(model.BuildQueued))
		if err == nil && n == 0 {
			_, err = t.ExecContext(ctx, `UPDATE builds SET cancel = 1 WHERE id = ? AND status = ?`, id, string(model.BuildRunning))
		}
		if err != nil {
			return err
		}
		if b, err = buildBy(ctx, t, id); err != nil {
			return err
		}
		return t.record(ctx, by, model.App{ID: b.AppID, Name: b.AppName}, "build.cancel", id, "build cancelled", nil)
	})
	return b, err
}

// GiveBackBuild lets another builder take a build at once; its attempt does not
// count. ErrLost when the build is not this builder's any more.
func (s *Store) GiveBackBuild(ctx context.Context, id, builderID string, now time.Time) error {
	n, err := exec(ctx, s.db, `UPDATE builds SET lease_ms = ?, claims = claims + 1, attempts = attempts - 1 WHERE id = ? AND builder_id = ? AND status = ?`,
		ms(now)-1, id, builderID, string(model.BuildRunning))
	if err == nil && n != 1 {
		return ErrLost
	}
	return err
}

// RenewBuild keeps a claim and tells whether a person asked for the build's
// end. ErrLost when the build is not this builder's any more.
func (s *Store) RenewBuild(ctx context.Context, id, builderID string, leaseUntil time.Time) (cancel bool, err error) {
	n, err := exec(ctx, s.db, `UPDATE builds SET lease_ms = ?, claims = claims + 1 WHERE id = ? AND builder_id = ? AND status = ?`, ms(leaseUntil), id, builderID, string(model.BuildRunning))
	if err != nil {
		return false, err
	}
	if n != 1 {
		return false, ErrLost
	}
	err = s.db.QueryRowContext(ctx, `SELECT cancel FROM builds WHERE id = ?`, id).Scan(&cancel)
	return cancel, err
}

// SetBuildStep notes how far a build is and, once known, its runtime.
func (s *Store) SetBuildStep(ctx context.Context, id, builderID, step, runtime string) error {
	n, err := exec(ctx, s.db, `UPDATE builds SET step = ?, runtime = CASE WHEN ? = '' THEN runtime ELSE ? END, claims = claims + 1 WHERE id = ? AND builder_id = ? AND status = ?`,
		step, runtime, runtime, id, builderID, string(model.BuildRunning))
	if err == nil && n != 1 {
		return ErrLost
	}
	return err
}

// AppendBuildLog adds lines to a build's log.
func (s *Store) AppendBuildLog(ctx context.Context, id string, at time.Time, lines []string) error {
	if len(lines) == 0 {
		return nil
	}
	return s.tx(ctx, func(t *tx) error {
		// An update that changes nothing makes two writers take turns at numbering:
		// a builder that lost its claim may not know it yet.
		if _, err := t.ExecContext(ctx, `UPDATE builds SET cancel = cancel WHERE id = ?`, id); err != nil {
			return err
		}
		var next int64
		if err := t.QueryRowContext(ctx, `SELECT COALESCE(MAX(seq), 0) + 1 FROM build_logs WHERE build_id = ?`, id).Scan(&next); err != nil {
			return err
		}
		for some := range slices.Chunk(lines, logRows) {
			if err := t.insertLogLines(ctx, id, next, at, some); err != nil {
				return err
			}
			next += int64(len(some))
		}
		return nil
	})
}

// logRows is how many log lines one statement adds: a database takes them hundreds of times faster than one by one.
const logRows = 200

func (t *tx) insertLogLines(ctx context.Context, id string, first int64, at time.Time, lines []string) error {
	args := make([]any, 0, 4*len(lines))
	for i, line := range lines {
		args = append(args, id, first+int64(i), ms(at), line)
	}
	_, err := t.ExecContext(ctx, `INSERT INTO build_logs (build_id, seq, at_ms, line) VALUES (?,?,?,?)`+strings.Repeat(`,(?,?,?,?)`, len(lines)-1), args...)
	return err
}

// BuildLog lists the lines of a build's log after seq, at most n.
func (s *Store) BuildLog(ctx context.Context, id string, after int64, n int) ([]model.LogLine, error) {
	return list(ctx, s.db, func(r scanner) (l model.LogLine, err error) {
		var at int64
		err = r.Scan(&l.Seq, &at, &l.Text)
		l.At = fromMS(at)
		return l, err
	}, `SELECT seq, at_ms, line FROM build_logs WHERE build_id = ? AND seq > ? ORDER BY seq LIMIT ?`, id, after, limit(n))
}

// FindBuiltImage returns the image of an app's earlier build with the same key,
// and that build's ID; "" when there is none.
func (s *Store) FindBuiltImage(ctx context.Context, appID, key string) (image, buildID string, err error) {
	err = s.db.QueryRowContext(ctx, `SELECT image, id FROM builds WHERE app_id = ? AND build_key = ? AND status = ? ORDER BY created_ms DESC LIMIT 1`,
		appID, key, string(model.BuildSucceeded)).Scan(&image, &buildID)
	if errors.Is(err, sql.ErrNoRows) {
		return "", "", nil
	}
	return image, buildID, err
}

// BuildOutcome is how a build ended.
type BuildOutcome struct {
	Status  model.BuildStatus
	Image   string   // with BuildSucceeded
	Runtime string   // as detected
	Command []string // the web command the artifact names; nil: the image's own
	Key     string   // for FindBuiltImage
	Err     *model.Error
	Now     time.Time

	Report     model.BuildReport
	Provenance string // with BuildSucceeded: the signed statement, a DSSE envelope in JSON
}

// FinishBuild ends a build. One that succeeded and was asked to deploy makes
// the app's next release in the same transaction; when that is refused (the app
// was deleted meanwhile), the build fails with the refusal. It fails in a second
// transaction: the first may have made half of the release.
func (s *Store) FinishBuild(ctx context.Context, id, builderID string, o BuildOutcome) error {
	err := s.finishBuild(ctx, id, builderID, o)
	for try := 1; model.IsCode(err, model.CodeStale) && try < txTries; try++ {
		err = s.finishBuild(ctx, id, builderID, o) // somebody edited the app: no fault of the build
	}
	var refused *model.Error
	if o.Status == model.BuildSucceeded && errors.As(err, &refused) {
		o.Status, o.Err = model.BuildFailed, refused
		return s.finishBuild(ctx, id, builderID, o)
	}
	return err
}

func (s *Store) finishBuild(ctx context.Context, id, builderID string, o BuildOutcome) error {
	return s.tx(ctx, func(t *tx) error {
		b, err := buildBy(ctx, t, id)
		if err != nil {
			return err
		}
		if b.BuilderID != builderID || b.Status != model.BuildRunning {
			return ErrLost
		}
		by := model.Actor{Name: b.CreatedBy, From: "builder " + builderID}
		releaseID := ""
		if o.Status == model.BuildSucceeded { // it has brought the image back, if that was removed once
			if _, err := t.ExecContext(ctx, `DELETE FROM removed_images WHERE image = ?`, o.Image); err != nil {
				return err
			}
		}
		if o.Status == model.BuildSucceeded && b.Deploy != nil {
			if releaseID, err = t.deployBuilt(ctx, b, o, by); err != nil {
				return err
			}
		}
		return t.endBuild(ctx, b, releaseID, o, by)
	})
}

// deployBuilt makes the release a build was asked for, and returns its ID; "" when a rebase has nothing to change.
func (t *tx) deployBuilt(ctx context.Context, b model.Build, o BuildOutcome, by model.Actor) (string, error) {
	n := deployOf(b, o)
	if b.Origin.Rebase != "" {
		skip, err := t.rebased(ctx, b, o)
		if err != nil || skip {
			return "", err
		}
		n = rebaseOf(b, o)
	}
	rel, _, err := t.createRelease(ctx, n, by)
	return rel.ID, err
}

func deployOf(b model.Build, o BuildOutcome) NewRelease {
	return NewRelease{
		AppID: b.AppID, Cause: model.CauseDeploy, Note: b.Deploy.Note, BuildID: b.ID, Instances: b.Deploy.Instances,
		Spec: func(base model.Release) (model.Spec, error) {
			spec := base.Spec
			spec.Command = o.Command
			spec = b.Deploy.Apply(spec)
			spec.Image, spec.Runtime, spec.Artifact = o.Image, o.Runtime, b.Artifact
			return spec, nil
		},
	}
}

func (t *tx) endBuild(ctx context.Context, b model.Build, releaseID string, o BuildOutcome, by model.Actor) error {
	n, err := exec(ctx, t, `UPDATE builds SET status = ?, image = ?, runtime = CASE WHEN ? = '' THEN runtime ELSE ? END, build_key = ?, error = ?, ended_ms = ?, release_id = ?, step = '' WHERE id = ? AND builder_id = ? AND status = ?`,
		string(o.Status), o.Image, o.Runtime, o.Runtime, o.Key, encodeError(o.Err), ms(o.Now), releaseID, b.ID, b.BuilderID, string(model.BuildRunning))
	if err != nil {
		return err
	}
	if n != 1 {
		return ErrLost
	}
	if err := t.saveReport(ctx, b.ID, o); err != nil {
		return err
	}
	e := model.Event{Actor: by.Name, From: by.From, Verb: "build." + string(o.Status), AppID: b.AppID, AppName: b.AppName, Subject: b.ID, Message: "build " + string(o.Status)}
	if o.Err != nil {
		e.Outcome, e.Message = string(o.Err.Code), o.Err.Message
	}
	return t.addEvent(ctx, e)
}
