-- +goose Up
-- What is being removed from the registry at the moment: the images of an app name, or an artifact. Builds of that name,
-- and uploads of that artifact, wait until the row is gone or until_ms has passed.
CREATE TABLE removals (
    name VARCHAR(100) NOT NULL PRIMARY KEY,
    owner VARCHAR(36) NOT NULL,
    until_ms BIGINT NOT NULL
);
