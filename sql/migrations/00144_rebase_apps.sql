-- +goose Up
CREATE TABLE rebase_apps (
    rebase_id VARCHAR(36) NOT NULL,
    seq INTEGER NOT NULL,
    app_id VARCHAR(36) NOT NULL,
    app_name VARCHAR(63) NOT NULL,
    status VARCHAR(16) NOT NULL,
    build_id VARCHAR(36) NOT NULL,
    note VARCHAR(500) NOT NULL,
    PRIMARY KEY (rebase_id, seq)
);
