-- +goose Up
-- What was counted when the stage before was passed, or why this one is held.
ALTER TABLE deployments ADD COLUMN judgement VARCHAR(1000) NOT NULL DEFAULT '';
