-- +goose Up
-- The cluster's certificate authority: one row, name 'cluster', made by the
-- first part that looks for it. The key is encrypted with the cluster's secret.
CREATE TABLE authority (
    name VARCHAR(32) NOT NULL PRIMARY KEY,
    certificate TEXT NOT NULL,
    sealed_key TEXT NOT NULL,
    created_ms BIGINT NOT NULL
);
