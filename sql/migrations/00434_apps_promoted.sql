-- +goose Up
-- The release that a person lets through its stages unjudged. Written by people.
ALTER TABLE apps ADD COLUMN promoted VARCHAR(36) NOT NULL DEFAULT '';
