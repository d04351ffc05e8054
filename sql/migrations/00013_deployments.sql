-- +goose Up
-- Written by the leader alone.
CREATE TABLE deployments (
    release_id VARCHAR(36) NOT NULL PRIMARY KEY,
    app_id VARCHAR(36) NOT NULL,
    from_release_id VARCHAR(36) NOT NULL,
    status VARCHAR(16) NOT NULL,
    error MEDIUMTEXT NOT NULL,
    started_ms BIGINT NOT NULL,
    deadline_ms BIGINT NOT NULL,
    ended_ms BIGINT NOT NULL
);
