-- +goose Up
-- 1 while a stage waits for a person.
ALTER TABLE deployments ADD COLUMN held INT NOT NULL DEFAULT 0;
