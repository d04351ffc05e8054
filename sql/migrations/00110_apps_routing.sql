-- +goose Up
-- How routers treat the app's requests: JSON as in model.Routing; NULL: nothing was ever set.
ALTER TABLE apps ADD COLUMN routing MEDIUMTEXT;
