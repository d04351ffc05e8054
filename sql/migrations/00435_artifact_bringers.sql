-- +goose Up
-- Who sent an artifact. They and their teams may deploy it by its digest; so may those who deploy an app that was built from it.
CREATE TABLE artifact_bringers (
    sha256 VARCHAR(64) NOT NULL,
    user_id VARCHAR(36) NOT NULL,
    PRIMARY KEY (sha256, user_id)
);
