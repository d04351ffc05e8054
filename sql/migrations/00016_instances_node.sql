-- +goose Up
CREATE INDEX instances_node ON instances (node_id);
