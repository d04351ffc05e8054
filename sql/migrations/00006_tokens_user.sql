-- +goose Up
CREATE INDEX tokens_user ON tokens (user_id);
