-- +goose Up
-- Times in which leaders change nothing, because the database is older than what agents know. The leader makes a row, people end it.
CREATE TABLE safe_modes (
    epoch BIGINT NOT NULL PRIMARY KEY,
    since_ms BIGINT NOT NULL,
    reason TEXT NOT NULL,
    ended_ms BIGINT,
    ended_by VARCHAR(255)
);
