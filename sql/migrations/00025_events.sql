-- +goose Up
-- Append-only: the audit log and the activity feed.
CREATE TABLE events (
    id BIGINT NOT NULL PRIMARY KEY,
    at_ms BIGINT NOT NULL,
    actor VARCHAR(64) NOT NULL,
    from_addr VARCHAR(64) NOT NULL,
    verb VARCHAR(64) NOT NULL,
    app_id VARCHAR(36) NOT NULL,
    app_name VARCHAR(63) NOT NULL,
    subject VARCHAR(255) NOT NULL,
    message TEXT NOT NULL,
    detail MEDIUMTEXT NOT NULL,
    outcome VARCHAR(64) NOT NULL
);
