-- +goose Up
CREATE INDEX builds_status ON builds (status, created_ms);
