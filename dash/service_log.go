package dash

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/dash/policy"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/proto/wire"
)

// LogQuery selects lines of an app's output.
type LogQuery struct {
	Tail     int       // last lines of all instances together; 0: the default
	Since    time.Time // zero: whatever is kept
	Instance string    // ID, the beginning of one, or a slot; "" all
	Release  string    // "v3"; "" all
}

const (
	defaultTail = 200
	maxTail     = 10_000
	maxLogFeeds = 100 // instances read at once

	// mergeWindow is how long a followed line waits for earlier ones of other
	// instances; what comes later than that is told late rather than never.
	mergeWindow = 100 * time.Millisecond
	// settleTicks is for how many windows, at most, the first lines are held
	// back until a window passes without any.
	settleTicks = 10
	// rosterPeriod is how often a follower looks for new instances.
	rosterPeriod = 2 * time.Second
	// logTimeout bounds the reading of what is kept, of all instances together.
	logTimeout = 20 * time.Second
)

// Logs reads the last lines of an app's instances, merged by time.
func (d *Dash) Logs(ctx context.Context, actor model.Actor, name string, q LogQuery) ([]api.LogLine, error) {
	app, q, err := d.logTarget(ctx, actor, name, q)
	if err != nil {
		return nil, err
	}
	feeds, err := d.logFeeds(ctx, app, q)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, logTimeout)
	defer cancel()
	var mu sync.Mutex
	var lines []api.LogLine
	var last error
	failed := 0
	var wg sync.WaitGroup
	for _, f := range feeds {
		wg.Go(func() {
			err := d.leader.logs(ctx, f.request(q, false), func(in []*pb.AppLogLine) {
				mu.Lock()
				defer mu.Unlock()
				lines = append(lines, f.lines(in)...)
			})
			mu.Lock()
			defer mu.Unlock()
			if err != nil && !model.IsKind(err, model.NotFound) { // nothing was started yet
				d.log.Warn("log not read", "app", name, "instance", f.id, "err", err)
				last, failed = err, failed+1
			}
		})
	}
	wg.Wait()
	if failed > 0 && failed == len(feeds) && len(lines) == 0 {
		return nil, last // one node that is away must not hide the others' lines, but all of them must be said
	}
	sortLines(lines)
	return lines[max(0, len(lines)-q.Tail):], nil
}

func (d *Dash) logTarget(ctx context.Context, actor model.Actor, name string, q LogQuery) (model.App, LogQuery, error) {
	if q.Tail <= 0 && q.Since.IsZero() {
		q.Tail = defaultTail
	} else if q.Tail <= 0 {
		q.Tail = maxTail // the time bounds it
	}
	q.Tail = min(q.Tail, maxTail)
	if q.Release != "" {
		n, err := model.ParseVersion(q.Release)
		if err != nil {
			return model.App{}, q, err
		}
		q.Release = "v" + strconv.Itoa(n)
	}
	app, err := d.appFor(ctx, actor, name, policy.ViewApp)
	return app, q, err
}

// logFeed is one instance whose output is read.
type logFeed struct {
	id, nodeID, release string
	slot                int
}

// logFeeds are the instances that a query means, those that ended of late among
// them: logs survive their container.
func (d *Dash) logFeeds(ctx context.Context, app model.App, q LogQuery) ([]logFeed, error) {
	r, err := d.leader.app(ctx, app.ID)
	if err != nil && !model.IsKind(err, model.NotFound) {
		return nil, err
	}
	items, nodes, err := d.goneInstances(ctx, app)
	if err != nil {
		return nil, err
	}
	for _, i := range r.GetInstances() {
		if _, gone := nodes[i.GetId()]; !gone { // its event may come before its row is removed
			items = append(items, instanceOut(i))
			nodes[i.GetId()] = i.GetNodeId()
		}
	}
	if q.Instance != "" {
		if items = pickInstances(items, q.Instance); len(items) == 0 {
			return nil, model.E(model.CodeNotFound, "app %s has no instance %q", app.Name, clip(q.Instance, 40)).WithNext("dinp app %s lists them", app.Name)
		}
	}
	var out []logFeed
	for _, i := range items {
		if (q.Release == "" || q.Release == i.Release) && len(out) < maxLogFeeds {
			out = append(out, logFeed{id: i.ID, nodeID: nodes[i.ID], release: i.Release, slot: i.Slot})
		}
	}
	return out, nil
}

func (f logFeed) request(q LogQuery, follow bool) *pb.LogsRequest {
	return &pb.LogsRequest{InstanceId: f.id, NodeId: f.nodeID, Tail: int32(q.Tail), SinceMs: wire.Millis(q.Since), Follow: follow}
}

func (f logFeed) lines(in []*pb.AppLogLine) []api.LogLine {
	out := make([]api.LogLine, 0, len(in))
	for _, l := range in {
		out = append(out, api.LogLine{At: wire.Time(l.GetAtMs()), Text: l.GetText(), Instance: f.id, Slot: f.slot, Release: f.release, Stderr: l.GetStderr()})
	}
	return out
}

// sortLines orders lines by time; those of one instance keep their order.
func sortLines(lines []api.LogLine) {
	slices.SortStableFunc(lines, func(a, b api.LogLine) int { return a.At.Compare(b.At) })
}

// FollowLogs tells an app's lines as they come, those of new instances too, until
// ctx ends or each refuses one. Each gets batches in order of time.
func (d *Dash) FollowLogs(ctx context.Context, actor model.Actor, name string, q LogQuery, each func([]api.LogLine) error) error {
	app, q, err := d.logTarget(ctx, actor, name, q)
	if err != nil {
		return err
	}
	feeds, err := d.logFeeds(ctx, app, q)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	lines := make(chan []api.LogLine, 16)
	started := map[string]bool{}
	start := func(feeds []logFeed, q LogQuery) {
		for _, f := range feeds {
			if !started[f.id] {
				started[f.id] = true
				wg.Go(func() { d.follow(ctx, f, q, lines) })
			}
		}
	}
	start(feeds, q)
	later := q
	later.Tail = maxTail // of an instance that begins while we watch, all lines are new
	return mergeLines(ctx, lines, each, func() {
		if feeds, err := d.logFeeds(ctx, app, q); err == nil {
			start(feeds, later)
		}
	})
}

// follow hands on one instance's lines, and begins again where they stopped when
// the leader goes away or changes.
func (d *Dash) follow(ctx context.Context, f logFeed, q LogQuery, out chan<- []api.LogLine) {
	for ctx.Err() == nil {
		err := d.leader.logs(ctx, f.request(q, true), func(in []*pb.AppLogLine) {
			lines := f.lines(in)
			if len(lines) == 0 {
				return
			}
			q.Since, q.Tail = lines[len(lines)-1].At.Add(time.Millisecond), maxTail
			select {
			case out <- lines:
			case <-ctx.Done():
			}
		})
		if err == nil {
			return // the instance is gone, and so is the end of its log
		}
		d.log.Debug("log stream broke", "instance", f.id, "err", err)
		select {
		case <-time.After(rosterPeriod):
		case <-ctx.Done():
		}
	}
}

// mergeLines collects lines for a moment and hands them on in order.
func mergeLines(ctx context.Context, lines <-chan []api.LogLine, each func([]api.LogLine) error, roster func()) error {
	tick, look := time.NewTicker(mergeWindow), time.NewTicker(rosterPeriod)
	defer tick.Stop()
	defer look.Stop()
	var held []api.LogLine
	first, came := settleTicks, false // what is kept arrives at first, of each instance in its time
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case l := <-lines:
			held, came = append(held, l...), true
		case <-look.C:
			roster()
		case <-tick.C:
			settling := first > 0 && came
			first, came = max(0, first-1), false
			if len(held) == 0 || settling {
				continue
			}
			sortLines(held)
			if err := each(held); err != nil {
				return err
			}
			held = nil
		}
	}
}
