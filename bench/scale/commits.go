package main

import (
	"context"
	"fmt"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/sql/store"
	"github.com/dinp/dinp/test/testenv"
)

// lot is how many placements the reconciler commits at once.
const lot = 500

// commits is how fast placements are made durable in a local MariaDB that waits
// for the disk at each commit: lots of placements, each with the check that the
// lease is still ours, one after the other as the reconciler writes them.
func commits(ctx context.Context, t *trial, n int) error {
	return withServers(func(b *bench) error {
		st, err := store.Open(ctx, "mysql:"+testenv.DurableMariaDB(b))
		if err != nil {
			return err
		}
		defer st.Close()
		lease, err := st.TakeLease(ctx, store.Lease{Name: "leader"}, "server", "", 1)
		if err != nil {
			return err
		}
		w := &installation{now: time.Now(), releases: map[string]model.Release{}}
		w.populate(n)
		all := w.world.Instances[:max(perNode*n/10, lot)]
		t.start()
		began := time.Now()
		for len(all) > 0 {
			k := min(lot, len(all))
			if err := st.Apply(ctx, lease, store.Control{Insert: all[:k]}); err != nil {
				return fmt.Errorf("%d placements before the end: %w", len(all), err)
			}
			all = all[k:]
		}
		took := time.Since(began)
		world, err := st.World(ctx)
		if err != nil {
			return err
		}
		written := len(world.Instances)
		t.report(float64(written)/took.Seconds(), "instances/s")
		t.report(float64(written)/t.cpu().Seconds(), "instances/CPU-s") // of this process, without the database
		return nil
	})
}
