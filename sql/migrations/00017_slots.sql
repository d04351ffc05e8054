-- +goose Up
-- Written by the leader alone: what is remembered of a slot's failures.
CREATE TABLE slots (
    app_id VARCHAR(36) NOT NULL,
    slot INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    next_start_ms BIGINT NOT NULL,
    PRIMARY KEY (app_id, slot)
);
