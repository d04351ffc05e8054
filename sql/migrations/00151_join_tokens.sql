-- +goose Up
-- Tokens by which hosts join, as hashes. used_ms is 0 until one is used, which
-- it is once.
CREATE TABLE join_tokens (
    hash VARCHAR(64) NOT NULL PRIMARY KEY,
    role VARCHAR(16) NOT NULL,
    created_by VARCHAR(64) NOT NULL,
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL,
    used_ms BIGINT NOT NULL
);
