-- +goose Up
-- The identities of parts, as certificates that were signed and have not expired. revoked_ms is 0 for good ones.
CREATE TABLE identities (
    serial VARCHAR(40) NOT NULL PRIMARY KEY,
    role VARCHAR(16) NOT NULL,
    name VARCHAR(128) NOT NULL,
    issued_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL,
    revoked_ms BIGINT NOT NULL
);
