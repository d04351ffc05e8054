package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"

	"github.com/alicebob/miniredis/v2"

	"github.com/dinp/dinp/common/route"
	"github.com/dinp/dinp/router/table"
)

// snapshot is the file in which the router keeps its last table.
func (u *up) snapshot() string { return u.path("router", "routes.json") }

// refill gives an empty route store the table in a router's file, if there is one.
// The embedded store lives as long as the process, the router's file longer: where
// the platform was killed, a leader that reads it knows what is in force, as it
// would from a Redis. Of a database that was set back it is then known what it lacks.
func refill(store *miniredis.Miniredis, file string) error {
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	t, err := table.DecodeSnapshot(data)
	if err != nil {
		return err
	}
	for key, value := range t.Entries() {
		if err := store.Set(key, value); err != nil {
			return fmt.Errorf("embedded route store: %w", err)
		}
	}
	v := t.Version()
	store.HSet(route.VersionKey, "epoch", strconv.FormatInt(v.Epoch, 10), "seq", strconv.FormatInt(v.Seq, 10))
	return nil
}
