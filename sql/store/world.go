package store

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/dinp/dinp/common/model"
)

// World reads all that the leader wrote.
func (s *Store) World(ctx context.Context) (World, error) {
	var w World
	var err error
	if w.Instances, err = s.allInstances(ctx); err != nil {
		return w, err
	}
	if w.Deployments, err = list(ctx, s.db, scanDeployment, `SELECT `+deploymentColumns+` FROM deployments ORDER BY started_ms, release_id`); err != nil {
		return w, err
	}
	if w.Slots, err = list(ctx, s.db, func(r scanner) (v Slot, err error) {
		return v, r.Scan(&v.AppID, &v.Slot, &v.Failures, &v.NextStart, &v.Node)
	}, `SELECT app_id, slot, failures, next_start_ms, node_id FROM slots`); err != nil {
		return w, err
	}
	w.Nodes, err = s.Nodes(ctx)
	return w, err
}

// allInstances reads every instance. There may be a million, and nobody leads until
// they are read: what many of them name is one string, and what the driver has read
// is not copied and converted column by column, as Scan does.
func (s *Store) allInstances(ctx context.Context) ([]model.Instance, error) {
	var count int
	if err := s.db.QueryRowContext(ctx, `SELECT COUNT(*) FROM instances`).Scan(&count); err != nil {
		return nil, err
	}
	rows, err := s.db.QueryContext(ctx, `SELECT `+instanceColumns+` FROM instances ORDER BY id`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := make([]model.Instance, 0, count)
	for r := newInstanceReader(); rows.Next(); {
		i, err := r.read(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, i)
	}
	return out, rows.Err()
}

// instanceReader is scanInstance for very many rows.
type instanceReader struct {
	texts   [6]sql.RawBytes
	numbers [5]any
	columns []any             // pointers to those, in the order of instanceColumns
	names   map[string]string // that several rows have, each by itself
}

func newInstanceReader() *instanceReader {
	r := &instanceReader{names: map[string]string{}}
	t, n := &r.texts, &r.numbers
	r.columns = []any{&t[0], &t[1], &t[2], &n[0], &t[3], &n[1], &t[4], &t[5], &n[2], &n[3], &n[4]}
	return r
}

func (r *instanceReader) read(rows *sql.Rows) (i model.Instance, err error) {
	if err := rows.Scan(r.columns...); err != nil {
		return i, err
	}
	var numbers [len(r.numbers)]int64
	for k, v := range r.numbers {
		var is bool
		if numbers[k], is = v.(int64); !is && v != nil { // NULL is 0
			return i, fmt.Errorf("instances: a number is a %T", v)
		}
	}
	i = model.Instance{
		ID: string(r.texts[0]), AppID: r.name(1), ReleaseID: r.name(2), Slot: int(numbers[0]), Role: model.Role(r.name(3)),
		NodeID: r.name(4), Reason: model.Reason(r.name(5)), Stopping: r.numbers[1] == nil,
		Epoch: numbers[2], CreatedAt: fromMS(numbers[3]), StoppedAt: fromMS(numbers[4]),
	}
	return i, nil
}

// name is a text that other rows have, too.
func (r *instanceReader) name(column int) string {
	name, had := r.names[string(r.texts[column])]
	if !had {
		name = string(r.texts[column])
		r.names[name] = name
	}
	return name
}
