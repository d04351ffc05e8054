-- +goose Up
CREATE INDEX domains_app ON domains (app_id);
