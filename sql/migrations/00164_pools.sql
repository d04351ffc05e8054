-- +goose Up
-- How a pool of nodes is filled; people write it, through dash. A pool without a row is spread.
CREATE TABLE pools (
    name VARCHAR(64) NOT NULL PRIMARY KEY,
    policy VARCHAR(16) NOT NULL,
    updated_ms BIGINT NOT NULL
);
