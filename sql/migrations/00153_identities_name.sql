-- +goose Up
CREATE INDEX identities_name ON identities (role, name);
