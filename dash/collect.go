package dash

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/retention"
	"github.com/dinp/dinp/dash/policy"
	"github.com/dinp/dinp/sql/store"
)

// Sweeper frees the room of what no image names any more. The embedded registry is one; others do it on their own.
type Sweeper interface {
	// Sweep returns how many bytes it frees, or would free.
	Sweep(ctx context.Context, dryRun bool) (int64, error)
}

// SetSweeper gives dash the registry's sweeper, before Run.
func (d *Dash) SetSweeper(s Sweeper) { d.sweeper = s }

// How long builds of an app may be held up by a removal, and how many images are removed meanwhile.
const (
	removalTime   = time.Minute
	removalBatch  = 50
	collectMargin = 10 * time.Second // that the registry has for its last answer
)

// retentionRules are what the operator says, and for how long people may change their minds.
func retentionRules(c Config) retention.Rules {
	return retention.Rules{Keep: c.KeepReleases, Deleted: 30 * 24 * time.Hour, Recent: 24 * time.Hour}
}

// Collect removes the images and artifacts that retention does not keep from the registry, or tells which with DryRun.
func (d *Dash) Collect(ctx context.Context, actor model.Actor, in api.Collect) (api.Collection, error) {
	if err := d.mayPlatform(ctx, actor, policy.CollectGarbage); err != nil {
		return api.Collection{}, err
	}
	return d.collect(ctx, actor, in.DryRun)
}

// collector is one garbage collection.
type collector struct {
	d     *Dash
	owner string // of the rights to remove
	rules retention.Rules
	names []string
	found map[string]holding // by app's name
	blobs map[string]map[string]int64
	out   api.Collection
}

// holding is what the registry has of an app's name.
type holding struct {
	store.Holdings
	candidates []string // images in the registry
}

func (d *Dash) collect(ctx context.Context, by model.Actor, dryRun bool) (api.Collection, error) {
	c := &collector{d: d, owner: store.NewID(), rules: d.rules,
		found: map[string]holding{}, blobs: map[string]map[string]int64{}, out: api.Collection{DryRun: dryRun, Items: []api.Collected{}}}
	// All is read before anything is removed: what cannot be read ends it here.
	if err := c.survey(ctx); err != nil {
		return c.out, err
	}
	err := c.images(ctx)
	if err == nil {
		err = c.artifacts(ctx)
	}
	if err == nil && d.sweeper != nil {
		var swept int64
		if swept, err = d.sweeper.Sweep(ctx, dryRun); err == nil {
			c.out.Swept = &swept
		}
	}
	if !dryRun && len(c.out.Items) > 0 {
		text := fmt.Sprintf("%d images and artifacts removed, %d bytes in all", len(c.out.Items), c.out.Bytes)
		err = errors.Join(err, d.store.RecordCollection(context.WithoutCancel(ctx), by, text))
	}
	return c.out, err
}

// survey reads what there is, of each app.
func (c *collector) survey(ctx context.Context) (err error) {
	if c.names, err = c.d.store.AppNames(ctx); err != nil {
		return err
	}
	for _, name := range c.names {
		h := holding{}
		if h.Holdings, err = c.d.store.Holdings(ctx, name, c.rules); err != nil {
			return err
		}
		if h.candidates, err = c.d.imagesOf(ctx, name); err != nil {
			return err
		}
		for _, image := range h.candidates {
			if c.blobs[image], err = c.d.artifacts.blobs(ctx, image); err != nil {
				return err
			}
		}
		c.found[name] = h
	}
	return nil
}

// imagesOf lists the images that the registry has of an app's name, those of builds that never ended well included.
func (d *Dash) imagesOf(ctx context.Context, name string) ([]string, error) {
	repository := model.AppRepository(name)
	tags, err := d.artifacts.tags(ctx, repository)
	if err != nil || len(tags) == 0 {
		return nil, err
	}
	built, open, err := d.store.BuiltImages(ctx, name)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, tag := range tags {
		build, ok := strings.CutPrefix(tag, "build-")
		if !ok || open[build] {
			continue // a person's, or one on its way
		}
		image := built[build]
		if image == "" {
			if image, err = d.artifacts.resolve(ctx, repository, tag); err != nil {
				return nil, err
			}
		}
		if image != "" && !slices.Contains(out, image) {
			out = append(out, image)
		}
	}
	return out, nil
}

// images removes, or counts, the images that no kept release has.
func (c *collector) images(ctx context.Context) error {
	var all []string // to go, of all apps
	for _, name := range c.names {
		h := c.found[name]
		remove := slices.DeleteFunc(slices.Clone(h.candidates), func(image string) bool { return h.Images[image] != "" || c.blobs[image] == nil })
		c.out.Kept += len(h.candidates) - len(remove)
		if len(remove) == 0 {
			continue
		}
		if h.Building != "" {
			c.out.Skipped = append(c.out.Skipped, fmt.Sprintf("%s: build %s is under way", name, h.Building))
			continue
		}
		if !c.out.DryRun {
			var err error
			if remove, err = c.removeImages(ctx, name, remove); err != nil {
				return err
			}
		}
		for _, image := range remove {
			c.out.Items = append(c.out.Items, api.Collected{Kind: "image", Name: image, App: name, Releases: versionsOf(h.Releases, image)})
		}
		all = append(all, remove...)
	}
	return c.weigh(ctx, all)
}

// removeImages removes what is still to go when builds of the name are held up.
func (c *collector) removeImages(ctx context.Context, name string, candidates []string) (removed []string, err error) {
	for batch := range slices.Chunk(candidates, removalBatch) {
		until := time.Now().Add(removalTime)
		remove, h, err := c.d.store.BeginRemoval(ctx, name, c.owner, batch, c.rules, until)
		if err != nil {
			return removed, err
		}
		if len(remove) == 0 {
			why := "something is kept by now, or another collection is at it"
			if h.Building != "" {
				why = fmt.Sprintf("build %s is under way", h.Building)
			}
			c.out.Skipped = append(c.out.Skipped, name+": "+why)
			continue
		}
		n, err := c.d.artifacts.removeAll(ctx, remove, until.Add(-collectMargin))
		removed = append(removed, remove[:n]...)
		if err = errors.Join(err, c.d.store.EndRemoval(context.WithoutCancel(ctx), name, c.owner)); err != nil {
			return removed, err
		}
	}
	return removed, nil
}

func versionsOf(releases []retention.Release, image string) []string {
	var out []string
	for _, r := range releases {
		if r.Image == image {
			out = append(out, model.Release{Number: r.Number}.Version())
		}
	}
	return out
}

// weigh counts the bytes of the images that go which no other image has.
func (c *collector) weigh(ctx context.Context, gone []string) error {
	if len(gone) == 0 {
		return nil
	}
	counted, err := c.d.artifacts.baseBlobs(ctx)
	if err != nil {
		return err
	}
	for image, blobs := range c.blobs {
		if !slices.Contains(gone, image) {
			for digest := range blobs {
				counted[digest] = true
			}
		}
	}
	for i := range c.out.Items {
		c.weighItem(&c.out.Items[i], c.blobs[c.out.Items[i].Name], counted)
	}
	return nil
}

// weighItem adds to an item the blobs that were not counted yet.
func (c *collector) weighItem(item *api.Collected, blobs map[string]int64, counted map[string]bool) {
	for digest, n := range blobs {
		if !counted[digest] {
			counted[digest] = true
			item.Bytes += n
			c.out.Bytes += n
		}
	}
}

// artifacts removes, or counts, the artifacts of which no image is kept.
func (c *collector) artifacts(ctx context.Context) error {
	var gone []string
	for _, item := range c.out.Items {
		gone = append(gone, item.Name)
	}
	tags, err := c.d.artifacts.tags(ctx, model.ArtifactRepository)
	if err != nil {
		return err
	}
	kept := map[string]bool{} // parts, by digest
	var weights []map[string]int64
	first := len(c.out.Items)
	for _, tag := range tags {
		sha, ok := strings.CutPrefix(tag, model.ArtifactTag(""))
		if !ok {
			continue
		}
		blobs, err := c.d.artifacts.blobs(ctx, model.ArtifactRepository+":"+tag)
		if err != nil {
			return err
		}
		removed, err := c.artifact(ctx, sha, tag, gone)
		if err != nil {
			return err
		}
		if !removed {
			c.out.Kept++
			for digest := range blobs {
				kept[digest] = true
			}
			continue
		}
		c.out.Items = append(c.out.Items, api.Collected{Kind: "artifact", Name: sha})
		weights = append(weights, blobs)
	}
	for i, blobs := range weights {
		c.weighItem(&c.out.Items[first+i], blobs, kept)
	}
	return nil
}

// artifact removes, or would remove, an artifact that nothing needs.
func (c *collector) artifact(ctx context.Context, sha, tag string, gone []string) (removed bool, err error) {
	if !c.out.DryRun {
		gone = nil // they are marked as removed by now
	}
	why, err := c.d.store.ArtifactNeeded(ctx, sha, gone, c.rules)
	if err != nil || why != "" {
		if err == nil && !c.out.DryRun {
			err = c.d.store.SeeArtifact(ctx, sha)
		}
		return false, err
	}
	_, err = c.d.artifacts.size(ctx, sha)
	if model.IsKind(err, model.NotFound) {
		return false, nil
	}
	if err != nil || c.out.DryRun {
		return err == nil, err
	}
	until := time.Now().Add(removalTime)
	held, err := c.d.store.BeginArtifactRemoval(ctx, sha, c.owner, c.rules, until)
	if err != nil || !held {
		return false, err
	}
	image, err := c.d.artifacts.resolve(ctx, model.ArtifactRepository, tag)
	if err == nil && image != "" {
		_, err = c.d.artifacts.removeAll(ctx, []string{image}, until.Add(-collectMargin))
	}
	if err != nil {
		return false, errors.Join(err, c.d.store.EndRemoval(context.WithoutCancel(ctx), "artifact:"+sha, c.owner))
	}
	return true, c.d.store.EndArtifactRemoval(ctx, sha, c.owner)
}

// collectRegularly collects garbage every GCEvery, until ctx ends.
func (d *Dash) collectRegularly(ctx context.Context) {
	if d.cfg.GCEvery <= 0 {
		return
	}
	tick := time.NewTicker(d.cfg.GCEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		out, err := d.collect(ctx, platform, false)
		switch {
		case err != nil && ctx.Err() == nil:
			d.log.Warn("garbage not collected", "err", err)
		case err == nil:
			d.log.Info("garbage collected", "removed", len(out.Items), "bytes", out.Bytes, "kept", out.Kept, "skipped", len(out.Skipped))
		}
	}
}
