-- +goose Up
CREATE INDEX components_short_name ON components (short_name);
