-- +goose Up
-- Releases whose image and artifact are kept for ever.
CREATE TABLE pins (
    app_id VARCHAR(36) NOT NULL,
    number INTEGER NOT NULL,
    created_by VARCHAR(64) NOT NULL,
    created_ms BIGINT NOT NULL,
    PRIMARY KEY (app_id, number)
);
