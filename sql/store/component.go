package store

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"

	"github.com/dinp/dinp/common/model"
)

// Scan says that an artifact was looked through for packages.
type Scan struct {
	Version    int    // of the scanner
	Incomplete string // why packages may be missing; "" when none are
}

// ScanOf returns the scan of an artifact; nil when there was none.
func (s *Store) ScanOf(ctx context.Context, artifact string) (*Scan, error) {
	var v Scan
	err := s.db.QueryRowContext(ctx, `SELECT version, incomplete FROM scans WHERE artifact = ?`, artifact).Scan(&v.Version, &v.Incomplete)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return &v, err
}

// SaveScan replaces what is known of an artifact's packages. Two builders that scan the same artifact write the same.
func (s *Store) SaveScan(ctx context.Context, artifact string, v Scan, components []model.Component) error {
	return s.tx(ctx, func(t *tx) error {
		for _, table := range []string{"scans", "components"} {
			if _, err := t.ExecContext(ctx, `DELETE FROM `+table+` WHERE artifact = ?`, artifact); err != nil {
				return err
			}
		}
		_, err := t.ExecContext(ctx, `INSERT INTO scans (artifact, version, incomplete, scanned_ms) VALUES (?,?,?,?)`, artifact, v.Version, clip(v.Incomplete, 500), ms(t.now))
		if isDuplicate(err) {
			return nil // the other one's is as good
		}
		if err != nil {
			return err
		}
		seq := 0
		for chunk := range slices.Chunk(components, 200) {
			values, a := []string{}, []any{}
			for _, c := range chunk {
				seq++
				values = append(values, `(?,?,?,?,?,?,?)`)
				a = append(a, artifact, seq, c.Ecosystem, clip(c.Name, 255), clip(c.ShortName(), 255), clip(c.Version, 128), clip(c.Path, 500))
			}
			if _, err := t.ExecContext(ctx, `INSERT INTO components (artifact, seq, ecosystem, name, short_name, version, path) VALUES `+strings.Join(values, ","), a...); err != nil {
				return err
			}
		}
		return nil
	})
}

// Components lists an artifact's packages.
func (s *Store) Components(ctx context.Context, artifact string) ([]model.Component, error) {
	return list(ctx, s.db, func(r scanner) (c model.Component, err error) {
		return c, r.Scan(&c.Ecosystem, &c.Name, &c.Version, &c.Path)
	}, `SELECT ecosystem, name, version, path FROM components WHERE artifact = ? ORDER BY seq`, artifact)
}

// ArtifactComponent is a package and the artifact that carries it.
type ArtifactComponent struct {
	Artifact string
	model.Component
}

// FindComponents lists the packages of that name, in any version and artifact. name is a whole name, or a short one.
func (s *Store) FindComponents(ctx context.Context, name string) ([]ArtifactComponent, error) {
	return list(ctx, s.db, func(r scanner) (c ArtifactComponent, err error) {
		return c, r.Scan(&c.Artifact, &c.Ecosystem, &c.Name, &c.Version, &c.Path)
	}, `SELECT artifact, ecosystem, name, version, path FROM components WHERE short_name IN (?, ?) AND (short_name = ? OR name = ?) ORDER BY artifact, seq`,
		strings.ToLower(name), shortOf(name), strings.ToLower(name), name)
}

// shortOf is what a whole name's short name can be, whatever its ecosystem, so that the index finds it.
func shortOf(name string) string {
	for _, e := range []string{model.EcosystemMaven, model.EcosystemGo} {
		if short := (model.Component{Ecosystem: e, Name: name}).ShortName(); short != strings.ToLower(name) {
			return short
		}
	}
	return strings.ToLower(name)
}

// RunningArtifact is an artifact that an app runs, or wants to.
type RunningArtifact struct {
	App       model.App
	Release   model.Release
	Instances int // that run it; 0: it is only wanted
}

// RunningArtifacts lists what the apps that are not deleted run: the releases they want, and those of which instances are
// there.
func (s *Store) RunningArtifacts(ctx context.Context) ([]RunningArtifact, error) {
	var out []RunningArtifact
	err := s.view(ctx, func(t *tx) error {
		apps, err := list(ctx, t, scanApp, `SELECT `+appColumns+` FROM apps WHERE deleted_ms = 0 ORDER BY name`)
		if err != nil {
			return err
		}
		type row struct {
			app, release string
			n            int
		}
		found, err := list(ctx, t, func(r scanner) (v row, err error) { return v, r.Scan(&v.app, &v.release, &v.n) },
			`SELECT app_id, release_id, COUNT(*) FROM instances GROUP BY app_id, release_id`)
		if err != nil {
			return err
		}
		used := map[string]map[string]int{}
		for _, a := range apps {
			used[a.ID] = map[string]int{}
			if a.ReleaseID != "" {
				used[a.ID][a.ReleaseID] = 0
			}
		}
		for _, v := range found {
			if used[v.app] != nil {
				used[v.app][v.release] += v.n
			}
		}
		for _, a := range apps {
			ids := make([]any, 0, len(used[a.ID]))
			for id := range used[a.ID] {
				ids = append(ids, id)
			}
			if len(ids) == 0 {
				continue
			}
			releases, err := list(ctx, t, scanRelease, `SELECT `+releaseColumns+` FROM releases WHERE id IN (`+holders(len(ids))+`) ORDER BY number`, ids...)
			if err != nil {
				return err
			}
			for _, r := range releases {
				out = append(out, RunningArtifact{App: a, Release: r, Instances: used[a.ID][r.ID]})
			}
		}
		return nil
	})
	return out, err
}
