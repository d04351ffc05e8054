-- +goose Up
-- JSON of model.BuildOrigin.
ALTER TABLE builds ADD COLUMN origin VARCHAR(4000) NOT NULL DEFAULT '';
