package source

import (
	"fmt"
	"testing"
	"time"

	"github.com/dinp/dinp/common/route"
	"github.com/dinp/dinp/router/table"
)

// Every table served, even when listed in the middle of writes, is exactly what
// the leader had at that version.
func TestSource_TablesAreNeverMixtures(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, newRedis func() string) {
		l := newLeader(t, newRedis())
		history := map[route.Version]*table.Table{}
		step := func(i int) {
			var ch []route.Change
			for j := range 3 {
				ch = append(ch, set(fmt.Sprintf("/rs/h%d.x", (i*7+j*3)%40), backend("app", fmt.Sprintf("10.0.%d.%d:80", i/250, i%250))))
			}
			if i%5 == 0 {
				ch = append(ch, del(fmt.Sprintf("/rs/h%d.x", i%40)))
			}
			l.publish(false, ch...)
			history[l.at] = mustTable(l)
		}
		step(0)
		cfg := fastConfig(l.c.Options().Addr, "")
		cfg.Relist = time.Millisecond
		w := watch(t, cfg)
		for i := 1; i < 1500 || w.Status().Lists < 3; i++ {
			step(i)
		}
		w.serves(l)
		w.stop()
		for _, tb := range w.all {
			if want := history[tb.Version()]; want == nil || !table.Equal(want, tb) {
				t.Fatalf("version %v was served as\n%s", tb.Version(), table.EncodeSnapshot(tb))
			}
		}
	})
}
