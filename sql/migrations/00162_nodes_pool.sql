-- +goose Up
ALTER TABLE nodes ADD COLUMN pool VARCHAR(64) NOT NULL DEFAULT 'default';
