-- +goose Up
-- When a build of each team was begun last: teams take turns.
CREATE TABLE team_turns (
    team_id VARCHAR(36) NOT NULL PRIMARY KEY,
    turn_ms BIGINT NOT NULL
);
