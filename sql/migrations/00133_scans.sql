-- +goose Up
-- Which artifacts were looked through for packages, by which version of the scanner.
CREATE TABLE scans (
    artifact VARCHAR(64) NOT NULL PRIMARY KEY,
    version INTEGER NOT NULL,
    incomplete VARCHAR(500) NOT NULL,
    scanned_ms BIGINT NOT NULL
);
