-- +goose Up
CREATE TABLE components (
    artifact VARCHAR(64) NOT NULL,
    seq INTEGER NOT NULL,
    ecosystem VARCHAR(16) NOT NULL,
    name VARCHAR(255) NOT NULL,
    short_name VARCHAR(255) NOT NULL,
    version VARCHAR(128) NOT NULL,
    path VARCHAR(500) NOT NULL,
    PRIMARY KEY (artifact, seq)
);
