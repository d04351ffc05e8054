-- +goose Up
-- How often a builder began and neither finished nor gave the build back.
ALTER TABLE builds ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0;
