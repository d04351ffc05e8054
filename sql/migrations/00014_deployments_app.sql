-- +goose Up
CREATE INDEX deployments_app ON deployments (app_id, started_ms);
