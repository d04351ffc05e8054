-- +goose Up
CREATE TABLE domains (
    host VARCHAR(253) NOT NULL PRIMARY KEY,
    app_id VARCHAR(36) NOT NULL,
    created_ms BIGINT NOT NULL
);
