-- +goose Up
-- One row a name, never deleted. beat grows with every renewal and every
-- transaction of the leader; a challenger that saw it stand still for the
-- lease's time, by its own monotonic clock, may take it.
CREATE TABLE lease (
    name VARCHAR(32) NOT NULL PRIMARY KEY,
    owner VARCHAR(64) NOT NULL,
    address VARCHAR(255) NOT NULL,
    epoch BIGINT NOT NULL,
    beat BIGINT NOT NULL
);
