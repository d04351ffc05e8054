-- +goose Up
-- On how many nodes an app fails tells a bad release from a bad node.
ALTER TABLE slots ADD COLUMN node_id VARCHAR(36) NOT NULL DEFAULT '';
