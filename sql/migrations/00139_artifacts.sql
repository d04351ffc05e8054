-- +goose Up
-- When somebody last brought an artifact or asked for it.
CREATE TABLE artifacts (
    sha256 VARCHAR(64) NOT NULL PRIMARY KEY,
    size BIGINT NOT NULL,
    touched_ms BIGINT NOT NULL
);
