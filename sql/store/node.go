package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/dinp/dinp/common/model"
)

// Nodes lists all nodes by name, with what people want of them.
func (s *Store) Nodes(ctx context.Context) ([]model.Node, error) {
	return list(ctx, s.db, func(r scanner) (model.Node, error) {
		var n model.Node
		var created, seen int64
		var labels string
		err := r.Scan(&n.ID, &n.Name, &n.Address, &n.Zone, &n.Pool, &labels, &n.MemoryMiB, &n.CPUMilli, &created, &seen, &n.Availability)
		if labels != "" {
			n.Labels = strings.Fields(labels)
		}
		n.CreatedAt, n.SeenAt = fromMS(created), fromMS(seen)
		return n, err
	}, `SELECT n.id, n.name, n.address, n.zone, n.pool, n.labels, n.memory_mib, n.cpu_milli, n.created_ms, n.seen_ms, COALESCE(a.availability, 'active')
		FROM nodes n LEFT JOIN availabilities a ON a.node_id = n.id ORDER BY n.name, n.id`)
}

// SetAvailability says what people want of a node. What is wanted of it already is
// no change, and no event.
func (s *Store) SetAvailability(ctx context.Context, nodeID string, a model.Availability, by model.Actor) error {
	return s.tx(ctx, func(t *tx) error {
		name, was, err := t.availability(ctx, nodeID)
		if err != nil || was == a {
			return err
		}
		n, err := exec(ctx, t, `UPDATE availabilities SET availability = ?, updated_ms = ? WHERE node_id = ?`, string(a), ms(t.now), nodeID)
		if err != nil {
			return err
		}
		if n == 0 {
			if _, err := t.ExecContext(ctx, `INSERT INTO availabilities (node_id, availability, updated_ms) VALUES (?,?,?)`, nodeID, string(a), ms(t.now)); err != nil {
				return err
			}
		}
		return t.record(ctx, by, model.App{}, "node."+string(a), nodeID, fmt.Sprintf("node %s: %s → %s", name, was, a), nil)
	})
}

// Forgotten reports whether people have given a node up, of which there may be
// nothing left but that.
func (s *Store) Forgotten(ctx context.Context, nodeID string) (bool, error) {
	var n int
	err := s.db.QueryRowContext(ctx, `SELECT COUNT(*) FROM availabilities WHERE node_id = ? AND availability = ?`, nodeID, string(model.Forgotten)).Scan(&n)
	return n > 0, err
}

// availability reads a node's name and what is wanted of it. One that was forgotten
// has an ID only.
func (t *tx) availability(ctx context.Context, nodeID string) (name string, was model.Availability, err error) {
	was = model.Active
	err = t.QueryRowContext(ctx, `SELECT availability FROM availabilities WHERE node_id = ?`, nodeID).Scan(&was)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return "", "", err
	}
	err = t.QueryRowContext(ctx, `SELECT name FROM nodes WHERE id = ?`, nodeID).Scan(&name)
	if errors.Is(err, sql.ErrNoRows) {
		return nodeID, was, nil
	}
	return name, was, err
}

func (t *tx) putNode(ctx context.Context, n model.Node) error {
	rows, err := exec(ctx, t, `UPDATE nodes SET name = ?, address = ?, zone = ?, pool = ?, labels = ?, memory_mib = ?, cpu_milli = ?, seen_ms = ? WHERE id = ?`,
		n.Name, n.Address, n.Zone, n.Pool, strings.Join(n.Labels, " "), n.MemoryMiB, n.CPUMilli, ms(n.SeenAt), n.ID)
	if err != nil || rows > 0 {
		return err
	}
	_, err = t.ExecContext(ctx, `INSERT INTO nodes (id, name, address, zone, pool, labels, memory_mib, cpu_milli, created_ms, seen_ms) VALUES (?,?,?,?,?,?,?,?,?,?)`,
		n.ID, n.Name, n.Address, n.Zone, n.Pool, strings.Join(n.Labels, " "), n.MemoryMiB, n.CPUMilli, ms(t.now), ms(n.SeenAt))
	return err
}

// cordon closes a node to new placements, unless people want something else of it
// than that it be active.
func (t *tx) cordon(ctx context.Context, id string) error {
	n, err := exec(ctx, t, `UPDATE availabilities SET availability = 'cordoned', updated_ms = ? WHERE node_id = ? AND availability = 'active'`, ms(t.now), id)
	if err != nil || n > 0 {
		return err
	}
	var said int
	if err := t.QueryRowContext(ctx, `SELECT COUNT(*) FROM availabilities WHERE node_id = ?`, id).Scan(&said); err != nil || said > 0 {
		return err
	}
	_, err = t.ExecContext(ctx, `INSERT INTO availabilities (node_id, availability, updated_ms) VALUES (?,?,?)`, id, string(model.Cordoned), ms(t.now))
	return err
}

// dropNode removes what is stored of a node that was forgotten. What people want
// of it stays: it says that the node is not to come back by itself.
func (t *tx) dropNode(ctx context.Context, id string) error {
	_, err := t.ExecContext(ctx, `DELETE FROM nodes WHERE id = ?`, id)
	return err
}
