-- +goose Up
CREATE TABLE certificates (
    host VARCHAR(255) NOT NULL PRIMARY KEY,
    source VARCHAR(16) NOT NULL,
    chain_pem MEDIUMTEXT NOT NULL,
    sealed_key MEDIUMTEXT NOT NULL,
    not_after_ms BIGINT NOT NULL,
    generation BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    updated_ms BIGINT NOT NULL,
    failure MEDIUMTEXT NOT NULL,
    failures BIGINT NOT NULL,
    try_ms BIGINT NOT NULL
);
