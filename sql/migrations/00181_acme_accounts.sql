-- +goose Up
CREATE TABLE acme_accounts (
    directory VARCHAR(255) NOT NULL PRIMARY KEY,
    sealed_key MEDIUMTEXT NOT NULL,
    created_ms BIGINT NOT NULL
);
