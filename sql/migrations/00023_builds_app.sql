-- +goose Up
CREATE INDEX builds_app ON builds (app_id, created_ms);
