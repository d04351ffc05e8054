-- +goose Up
-- What people want of a node; a node without a row is active.
CREATE TABLE availabilities (
    node_id VARCHAR(36) NOT NULL PRIMARY KEY,
    availability VARCHAR(16) NOT NULL,
    updated_ms BIGINT NOT NULL
);
