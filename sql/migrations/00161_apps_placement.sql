-- +goose Up
-- Constraints in their canonical text: label==ssd zone==a per-node==1.
ALTER TABLE apps ADD COLUMN placement VARCHAR(1000) NOT NULL DEFAULT '';
