package builder

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/sql/store"
)

// Why a build stops before its end.
var (
	errCancelled = errors.New("cancelled")
	errTimeout   = errors.New("past its deadline")
	errLost      = errors.New("lease lost to another builder")
)

// claimBackoff is the pause after the queue could not be read.
const claimBackoff = time.Second

// takeBuilds works on as many builds at a time as are allowed, until ctx ends and the last of them has stopped.
func (b *Builder) takeBuilds(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	free := make(chan struct{}, b.cfg.Concurrency)
	for {
		select {
		case <-ctx.Done():
			return
		case free <- struct{}{}:
		}
		build, err := b.claim(ctx)
		if build != nil {
			wg.Go(func() {
				defer func() { <-free }()
				b.work(ctx, *build)
			})
			continue
		}
		<-free
		pause := b.cfg.Poll
		if err != nil {
			pause = claimBackoff
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// claim takes the next build, if there is one, and remembers whether the queue could be read.
func (b *Builder) claim(ctx context.Context) (*model.Build, error) {
	now := time.Now()
	build, err := b.store.ClaimBuild(ctx, b.cfg.ID, now, now.Add(b.cfg.Lease))
	if ctx.Err() != nil {
		return build, ctx.Err() // a build that was claimed all the same is given back by work
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil && b.claimErr == nil {
		b.log.Warn("queue not read", "err", err)
	}
	b.claimErr = err
	return build, err
}

// work does one build from claim to outcome.
func (b *Builder) work(ctx context.Context, build model.Build) {
	b.metrics.running.Inc()
	defer b.metrics.running.Dec()
	log := b.log.With("build", build.ID, "app", build.AppName)
	last := context.WithoutCancel(ctx) // what must be written is written, also while the process stops
	lines := newBuildLog(last, func(ctx context.Context, at time.Time, lines []string) error {
		return b.store.AppendBuildLog(ctx, build.ID, at, lines)
	})
	began := time.Now()
	outcome, cause := b.attempt(ctx, build, lines)
	switch {
	case errors.Is(cause, errLost):
		lines.close()
		b.sayLost(last, build)
		log.Warn("build lost: another builder takes it over", "err", cause)
		return
	case ctx.Err() != nil:
		lines.say("builder %s stops; another one goes on with this build", b.cfg.ID)
		lines.close()
		b.giveBack(last, build)
		log.Info("build given back")
		return
	}
	b.tell(lines, outcome, time.Since(began))
	lines.close()
	b.finish(last, build, outcome)
	log.Info("build ended", "status", outcome.Status, "runtime", outcome.Runtime, "image", outcome.Image, "took", time.Since(began), "err", errOf(outcome))
}

// attempt runs the pipeline under the build's lease and deadline, in a folder that is gone afterwards. The cause says why
// the pipeline was stopped, if it was.
func (b *Builder) attempt(parent context.Context, build model.Build, lines *buildLog) (o store.BuildOutcome, stopped error) {
	dir, err := b.folder.make(build.ID)
	if err != nil {
		return b.failed(build, "", err), nil
	}
	defer func() {
		if err := os.RemoveAll(dir); err != nil {
			b.log.Warn("work folder not removed", "dir", dir, "err", err)
		}
	}()
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	ctx, stop := context.WithTimeoutCause(ctx, b.cfg.BuildTimeout, errTimeout)
	defer stop()
	var wg sync.WaitGroup
	wg.Go(func() { b.keepLease(ctx, build.ID, cancel) })
	defer wg.Wait()
	defer cancel(nil)

	j := &job{b: b, build: build, dir: dir, log: lines}
	defer func() { o.Report = j.report }()
	outcome, err := b.guarded(ctx, j)
	cause := context.Cause(ctx)
	switch {
	case err == nil:
		return outcome, nil // done is done, also if the deadline or a cancel came a moment later
	case errors.Is(err, store.ErrLost), errors.Is(cause, errLost):
		return outcome, errLost
	case parent.Err() != nil:
		return outcome, cause
	case errors.Is(cause, errCancelled):
		outcome = b.failed(build, outcome.Runtime, model.E(model.CodeBuildStopped, "the build was cancelled"))
		outcome.Status = model.BuildCancelled
	case errors.Is(cause, errTimeout):
		outcome = b.failed(build, outcome.Runtime, model.E(model.CodeBuildStopped, "the build was stopped after %s, its limit", b.cfg.BuildTimeout).
			WithNext("make the artifact or its Dockerfile need less time, or let an operator raise build_timeout of the builder"))
	default:
		outcome = b.failed(build, outcome.Runtime, err)
	}
	return outcome, cause
}

// guarded turns a panic into a failed build: an artifact that finds a fault of ours must not end the builder, and then the
// next one that takes the build over.
func (b *Builder) guarded(ctx context.Context, j *job) (o store.BuildOutcome, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return j.run(ctx)
}

// failed is the outcome of an error. The runtime that was found stays visible.
func (b *Builder) failed(build model.Build, runtime string, err error) store.BuildOutcome {
	e := model.AsError(err)
	if e.Code == model.CodeInternal {
		b.log.Error("build failed by a fault of dinp", "build", build.ID, "err", err)
	}
	return store.BuildOutcome{Status: model.BuildFailed, Runtime: cmp.Or(runtime, build.Runtime), Err: e}
}

// keepLease renews the claim until ctx ends, and ends the build when a person wants that or another builder has it. When
// the database is away it goes on while the lease lasts; then somebody else may have begun, so it stops.
func (b *Builder) keepLease(ctx context.Context, id string, cancel context.CancelCauseFunc) {
	every := b.cfg.Lease / 3
	until := time.Now().Add(b.cfg.Lease)
	// A cancel is noticed at a renewal, so these are more frequent than the lease needs.
	for tick := time.NewTicker(min(every, time.Second)); ; {
		select {
		case <-ctx.Done():
			tick.Stop()
			return
		case <-tick.C:
		}
		next := time.Now().Add(b.cfg.Lease)
		one, done := context.WithTimeout(ctx, every)
		stop, err := b.store.RenewBuild(one, id, b.cfg.ID, next)
		done()
		switch {
		case err == nil && stop:
			cancel(errCancelled)
		case err == nil:
			until = next
		case errors.Is(err, store.ErrLost), time.Now().After(until.Add(-every)):
			cancel(errLost)
		}
	}
}

// sayLost tells the reader of a build's log why it begins again, best effort.
func (b *Builder) sayLost(ctx context.Context, build model.Build) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), logTimeout)
	defer cancel()
	line := fmt.Sprintf("builder %s is slow or was cut off, and its time with this build is over; another builder goes on with it", b.cfg.ID)
	if err := b.store.AppendBuildLog(ctx, build.ID, time.Now(), []string{line}); err != nil {
		b.log.Warn("line not written to the build's log", "build", build.ID, "err", err)
	}
}

// giveBack lets another builder take the build at once instead of when the lease runs out.
func (b *Builder) giveBack(ctx context.Context, build model.Build) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := b.store.GiveBackBuild(ctx, build.ID, b.cfg.ID, time.Now()); err != nil {
		b.log.Warn("build not given back", "build", build.ID, "err", err)
	}
}

// finish writes the outcome, again and again while the lease may last: a finished build is worth waiting for the database.
func (b *Builder) finish(ctx context.Context, build model.Build, o store.BuildOutcome) {
	b.metrics.ended.WithLabelValues(string(o.Status), o.Runtime).Inc()
	ctx, cancel := context.WithTimeout(ctx, b.cfg.Lease*2/3)
	defer cancel()
	for {
		o.Now = time.Now()
		err := b.store.FinishBuild(ctx, build.ID, b.cfg.ID, o)
		if err == nil {
			if o.Status == model.BuildSucceeded && build.Deploy != nil {
				b.nudger.nudge(ctx, build.AppID)
			}
			return
		}
		if errors.Is(err, store.ErrLost) || ctx.Err() != nil {
			b.log.Warn("build lost at its end: another builder repeats it", "build", build.ID, "err", err)
			b.sayLost(ctx, build)
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(claimBackoff):
		}
	}
}

// tell ends the build's log.
func (b *Builder) tell(l *buildLog, o store.BuildOutcome, took time.Duration) {
	switch e := o.Err; {
	case o.Status == model.BuildSucceeded:
		l.say("done in %s", short(took))
	default:
		l.say("%s %s", e.Code, e.Message)
		for _, line := range e.Evidence {
			l.say("  %s", line)
		}
		if e.Next != "" {
			l.say("next: %s", e.Next)
		}
	}
}

func errOf(o store.BuildOutcome) error {
	if o.Err == nil {
		return nil
	}
	return o.Err
}
