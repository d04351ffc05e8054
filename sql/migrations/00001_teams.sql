-- +goose Up
CREATE TABLE teams (
    id VARCHAR(36) NOT NULL PRIMARY KEY,
    name VARCHAR(64) NOT NULL UNIQUE,
    created_ms BIGINT NOT NULL
);
