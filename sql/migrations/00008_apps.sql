-- +goose Up
-- live is 1, or NULL once the app is deleted: a deleted name may be used again.
CREATE TABLE apps (
    id VARCHAR(36) NOT NULL PRIMARY KEY,
    name VARCHAR(63) NOT NULL,
    live INTEGER,
    team_id VARCHAR(36) NOT NULL,
    release_id VARCHAR(36) NOT NULL,
    instances INTEGER NOT NULL,
    paused INTEGER NOT NULL,
    maintenance INTEGER NOT NULL,
    generation BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    updated_ms BIGINT NOT NULL,
    deleted_ms BIGINT NOT NULL,
    UNIQUE (name, live)
);
