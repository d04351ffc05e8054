-- +goose Up
CREATE TABLE signers (
    key_id VARCHAR(64) NOT NULL PRIMARY KEY,
    public_key VARCHAR(128) NOT NULL,
    builder VARCHAR(64) NOT NULL,
    created_ms BIGINT NOT NULL
);
