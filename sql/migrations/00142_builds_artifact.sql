-- +goose Up
CREATE INDEX builds_artifact ON builds (artifact);
