-- +goose Up
-- live is 1 while it goes on, then NULL: one at a time for a runtime.
CREATE TABLE rebases (
    id VARCHAR(36) NOT NULL PRIMARY KEY,
    runtime VARCHAR(64) NOT NULL,
    live INTEGER,
    batch INTEGER NOT NULL,
    status VARCHAR(16) NOT NULL,
    error MEDIUMTEXT NOT NULL,
    actor VARCHAR(64) NOT NULL,
    actor_from VARCHAR(64) NOT NULL,
    created_ms BIGINT NOT NULL,
    ended_ms BIGINT NOT NULL,
    driver VARCHAR(36) NOT NULL,
    until_ms BIGINT NOT NULL,
    UNIQUE (runtime, live)
);
