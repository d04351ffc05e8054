package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"

	"github.com/dinp/dinp/common/model"
)

// saveReport keeps what a builder told of a build, in the transaction of its end: an image never is there without its
// statement.
func (t *tx) saveReport(ctx context.Context, buildID string, o BuildOutcome) error {
	report, err := json.Marshal(o.Report)
	if err != nil {
		return err
	}
	_, err = t.ExecContext(ctx, `INSERT INTO build_reports (build_id, report, provenance) VALUES (?,?,?)`, buildID, string(report), o.Provenance)
	return err
}

// BuildReport returns what a builder told of a build that has ended, and its signed statement, "" when it has none.
// Builds that have not ended have an empty report.
func (s *Store) BuildReport(ctx context.Context, buildID string) (r model.BuildReport, provenance string, err error) {
	var text string
	err = s.db.QueryRowContext(ctx, `SELECT report, provenance FROM build_reports WHERE build_id = ?`, buildID).Scan(&text, &provenance)
	if errors.Is(err, sql.ErrNoRows) {
		return r, "", nil
	}
	if err == nil {
		err = json.Unmarshal([]byte(text), &r)
	}
	return r, provenance, err
}

// SetBuildArtifact notes what was fetched from a build's URL, and drops the URL's query. A builder that takes the build
// over builds the same bytes, whatever the address answers by then.
func (s *Store) SetBuildArtifact(ctx context.Context, b model.Build, builderID string) error {
	b.Origin.URL = b.Origin.PublicURL()
	origin, err := originText(b.Origin)
	if err != nil {
		return err
	}
	n, err := exec(ctx, s.db, `UPDATE builds SET artifact = ?, filename = ?, size = ?, origin = ?, claims = claims + 1 WHERE id = ? AND builder_id = ? AND status = ?`,
		b.Artifact, clip(b.Filename, 255), b.Size, origin, b.ID, builderID, string(model.BuildRunning))
	if err == nil && n != 1 {
		return ErrLost
	}
	return err
}

// AddSigner makes a builder's public key known. A key that is known stays as it is.
func (s *Store) AddSigner(ctx context.Context, k model.Signer) error {
	return s.tx(ctx, func(t *tx) error {
		_, err := t.ExecContext(ctx, `INSERT INTO signers (key_id, public_key, builder, created_ms) VALUES (?,?,?,?)`, k.KeyID, k.PublicKey, k.Builder, ms(t.now))
		if isDuplicate(err) {
			return nil
		}
		return err
	})
}

// Signers lists the public keys of all builders there ever were, oldest first.
func (s *Store) Signers(ctx context.Context) ([]model.Signer, error) {
	return list(ctx, s.db, func(r scanner) (k model.Signer, err error) {
		var created int64
		err = r.Scan(&k.KeyID, &k.PublicKey, &k.Builder, &created)
		k.CreatedAt = fromMS(created)
		return k, err
	}, `SELECT key_id, public_key, builder, created_ms FROM signers ORDER BY created_ms, key_id`)
}
