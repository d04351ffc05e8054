-- +goose Up
CREATE TABLE build_logs (
    build_id VARCHAR(36) NOT NULL,
    seq BIGINT NOT NULL,
    at_ms BIGINT NOT NULL,
    line MEDIUMTEXT NOT NULL,
    PRIMARY KEY (build_id, seq)
);
