-- +goose Up
-- Which of its release's stages a deployment is in; their number when it has passed them all.
ALTER TABLE deployments ADD COLUMN stage INT NOT NULL DEFAULT 0;
