-- +goose Up
-- Answers of writes that carried an Idempotency-Key.
CREATE TABLE idempotency (
    user_id VARCHAR(36) NOT NULL,
    idem_key VARCHAR(128) NOT NULL,
    request_hash VARCHAR(64) NOT NULL,
    status INTEGER NOT NULL,
    body MEDIUMTEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    PRIMARY KEY (user_id, idem_key)
);
