-- +goose Up
CREATE TABLE releases (
    id VARCHAR(36) NOT NULL PRIMARY KEY,
    app_id VARCHAR(36) NOT NULL,
    number INTEGER NOT NULL,
    spec MEDIUMTEXT NOT NULL,
    build_id VARCHAR(36) NOT NULL,
    cause VARCHAR(16) NOT NULL,
    note VARCHAR(1000) NOT NULL,
    created_by VARCHAR(64) NOT NULL,
    created_ms BIGINT NOT NULL,
    UNIQUE (app_id, number)
);
