-- +goose Up
-- Words with blanks between them.
ALTER TABLE nodes ADD COLUMN labels VARCHAR(1000) NOT NULL DEFAULT '';
