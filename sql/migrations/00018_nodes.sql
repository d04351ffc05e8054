-- +goose Up
-- Written by the leader alone.
CREATE TABLE nodes (
    id VARCHAR(36) NOT NULL PRIMARY KEY,
    name VARCHAR(253) NOT NULL,
    address VARCHAR(64) NOT NULL,
    zone VARCHAR(64) NOT NULL,
    memory_mib BIGINT NOT NULL,
    cpu_milli BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    seen_ms BIGINT NOT NULL
);
