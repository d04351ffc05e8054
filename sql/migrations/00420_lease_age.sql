-- +goose Up
-- How far the leader's term had come at its last write, in milliseconds of its own clock.
ALTER TABLE lease ADD COLUMN age_ms BIGINT NOT NULL DEFAULT 0;
