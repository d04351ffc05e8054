-- +goose Up
CREATE INDEX apps_team ON apps (team_id);
