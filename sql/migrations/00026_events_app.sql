-- +goose Up
CREATE INDEX events_app ON events (app_id, id);
