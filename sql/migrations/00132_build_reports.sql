-- +goose Up
-- provenance is a DSSE envelope; both are JSON, written with the build's outcome.
CREATE TABLE build_reports (
    build_id VARCHAR(36) NOT NULL PRIMARY KEY,
    report MEDIUMTEXT NOT NULL,
    provenance MEDIUMTEXT NOT NULL
);
