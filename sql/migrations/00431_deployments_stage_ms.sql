-- +goose Up
-- When the stage began; 0 for the first.
ALTER TABLE deployments ADD COLUMN stage_ms BIGINT NOT NULL DEFAULT 0;
