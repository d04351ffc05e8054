-- +goose Up
-- Written by the leader alone. live is 1, or NULL once the instance is being
-- stopped: a slot has at most one live instance of each role.
CREATE TABLE instances (
    id VARCHAR(36) NOT NULL PRIMARY KEY,
    app_id VARCHAR(36) NOT NULL,
    release_id VARCHAR(36) NOT NULL,
    slot INTEGER NOT NULL,
    role VARCHAR(16) NOT NULL,
    live INTEGER,
    node_id VARCHAR(36) NOT NULL,
    reason VARCHAR(100) NOT NULL,
    epoch BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    stopped_ms BIGINT NOT NULL,
    UNIQUE (app_id, slot, role, live)
);
