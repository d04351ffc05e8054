-- +goose Up
-- Images that retention has removed, or is removing: no release may be made of them.
CREATE TABLE removed_images (
    image VARCHAR(300) NOT NULL PRIMARY KEY,
    removed_ms BIGINT NOT NULL
);
