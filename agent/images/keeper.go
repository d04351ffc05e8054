// Package images keeps a node's disk from filling up. It looks how full it is,
// removes images that no instance of this node needs any more, the longest unused
// first, and says when there is too little room for more instances.
//
// Only images that this node itself has used for an instance are ever removed, by
// the name it used, and never by force: what people pulled, built or named stays.
// Which of them a rollback may need, the leader knows; it is asked when room is
// wanted.
package images

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/dinp/dinp/agent/runtime"
)

// Config says what is done, and when.
type Config struct {
	Data         string // the agent's own folder, which must not fill up either
	CollectAbove int    // percent of the engine's file system; 0: nothing is removed
	CollectTo    int    // percent
	Keep         int    // so many releases of each app are kept at hand
	MinFreeMiB   int64  // with less there is no room for more instances
}

// Engine is what is asked of the container engine.
type Engine interface {
	Info(ctx context.Context) (runtime.Info, error)
	RemoveImage(ctx context.Context, image string) error
}

// Ledger is where it is written down which images were used, and when last, and
// which of them the leader last called needed.
type Ledger interface {
	Images() map[string]time.Time
	PutImages(map[string]time.Time) error
	Needed() []string
	PutNeeded([]string) error
}

// Keeper looks after the disk of one node. Run has one goroutine; all else may be
// called by anyone.
type Keeper struct {
	cfg     Config
	engine  Engine
	ledger  Ledger
	present func() map[string]bool
	measure func(folder string) (Usage, error)
	log     *slog.Logger

	root   string        // the engine's folder, as last told
	failed bool          // the file system could not be measured the last time
	asked  bool          // the leader was, at the last look: what is known now must do
	answer chan struct{} // size 1: the leader has answered

	mu       sync.Mutex // guards all below
	used     map[string]time.Time
	words    map[string]word
	unput    bool     // used holds what the ledger does not
	unkept   bool     // words does
	question []string // what the leader is to be asked about; nil: nothing
	usage    Usage
	short    string
}

// New returns a Keeper; present tells the images of the instances that are not
// gone.
func New(cfg Config, engine Engine, ledger Ledger, present func() map[string]bool, log *slog.Logger) *Keeper {
	k := &Keeper{
		cfg: cfg, engine: engine, ledger: ledger, present: present, measure: Measure, log: log,
		answer: make(chan struct{}, 1), used: ledger.Images(), words: map[string]word{},
	}
	for _, image := range ledger.Needed() {
		k.words[image] = word{needed: true}
	}
	return k
}

// Note says that an image is used for an instance, now: that it was free is over.
func (k *Keeper) Note(image string, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.used[image], k.unput = now, true
	if w := k.words[image]; !w.needed {
		delete(k.words, image)
	}
}

// Short says what there is too little of; "" when there is room.
func (k *Keeper) Short() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.short
}

// Usage is how full the engine's file system is, as last seen.
func (k *Keeper) Usage() Usage {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.usage
}

// every is how often the keeper looks.
const every = 30 * time.Second

// Run looks until ctx ends.
func (k *Keeper) Run(ctx context.Context) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		k.Look(ctx, time.Now())
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		case <-k.answer:
		}
	}
}

// Look measures, collects if need be, and says what is short. What is present
// counts as used now.
func (k *Keeper) Look(ctx context.Context, now time.Time) {
	present := k.present()
	for image := range present {
		k.Note(image, now)
	}
	up := false
	if info, err := k.engine.Info(ctx); err == nil {
		up = true
		if info.Root != "" {
			k.root = info.Root
		}
	}
	if k.root != "" {
		u, err := k.look(k.root)
		if err == nil && up && k.cfg.CollectAbove > 0 && u.Percent > k.cfg.CollectAbove && !k.asks(present, now) {
			u = k.collect(ctx, u, present, now)
		}
		k.mu.Lock()
		k.usage = u
		k.mu.Unlock()
	}
	k.judge()
	k.put()
}

// look measures the engine's file system. One that cannot be seen from here, such
// as that of an engine behind a network, is nobody's to judge: said once.
func (k *Keeper) look(folder string) (Usage, error) {
	u, err := k.measure(folder)
	if (err != nil) != k.failed {
		if k.failed = err != nil; k.failed {
			k.log.Warn("disk not measured; images are left as they are", "err", err)
		}
	}
	return u, err
}

// collect removes images until there is room enough, or none is left to remove.
func (k *Keeper) collect(ctx context.Context, u Usage, present map[string]bool, now time.Time) Usage {
	k.mu.Lock()
	list := stock{k.used, present, k.words}.removable(k.cfg.Keep, now)
	k.mu.Unlock()
	before, removed := u, 0
	for _, image := range list {
		if u.Percent <= k.cfg.CollectTo || ctx.Err() != nil {
			break
		}
		if !k.remove(ctx, image) {
			continue
		}
		removed++
		if after, err := k.look(k.root); err == nil {
			u = after
		}
	}
	if removed > 0 {
		k.log.Info("unused images removed", "images", removed, "percent_before", before.Percent, "percent", u.Percent, "free_mib", u.FreeMiB)
	}
	return u
}

func (k *Keeper) remove(ctx context.Context, image string) bool {
	switch err := k.engine.RemoveImage(ctx, image); {
	case errors.Is(err, runtime.ErrImageUsed):
		return false // somebody else's container: it is asked again when that is gone
	case err != nil:
		k.log.Warn("image not removed", "image", image, "err", err)
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.used, image)
	k.unput = true
	k.say(image, word{})
	return true
}

// judge says where there is too little room, if anywhere.
func (k *Keeper) judge() {
	short := ""
	for _, folder := range []string{k.root, k.cfg.Data} {
		if folder == "" {
			continue
		}
		if u, err := k.measure(folder); err == nil && u.FreeMiB < k.cfg.MinFreeMiB {
			short = fmt.Sprintf("%d of %d MiB are free at %s; a node takes instances from %d on", u.FreeMiB, u.TotalMiB, folder, k.cfg.MinFreeMiB)
			break
		}
	}
	k.mu.Lock()
	was := k.short
	k.short = short
	k.mu.Unlock()
	switch {
	case was == "" && short != "":
		k.log.Error("disk is short of room; no more instances are taken", "short", short)
	case was != "" && short == "":
		k.log.Info("disk has room again")
	}
}

// put writes the ledger when it changed.
func (k *Keeper) put() {
	k.mu.Lock()
	used, due := maps.Clone(k.used), k.unput
	k.mu.Unlock()
	k.putNeeded()
	if !due {
		return
	}
	if err := k.ledger.PutImages(used); err != nil {
		k.log.Warn("used images not written down", "err", err)
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.unput = !maps.Equal(k.used, used)
}
