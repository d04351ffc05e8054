package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/server/place"
)

// sizes are what apps ask for, in MiB and thousandths of a core: 560 MiB in
// the mean.
var sizes = [][2]int64{{64, 0}, {128, 50}, {256, 100}, {256, 0}, {512, 250}, {1024, 500}, {128, 0}, {2048, 500}}

// fleet is a cluster of n nodes in five zones that is 90 % full with about 100
// instances on each.
func fleet(n int) *place.Index {
	x := place.New()
	for i := range n {
		x.Set(place.Node{
			ID: fmt.Sprintf("node%05d", i), Name: fmt.Sprintf("node%05d", i), Zone: string(rune('a' + i%5)),
			Status: model.NodeReady, Availability: model.Active, MemoryMiB: []int64{45056, 61440, 61440, 77824}[i%4], CPUMilli: 64000,
		})
	}
	return x
}

// nodeMiB is what a node has in the mean.
const nodeMiB = 61440

// fill places apps of 1 to 400 instances, but no more than there are nodes, until
// 90 % of the memory is reserved.
func fill(x *place.Index) (placed int, memory int64) {
	v := &place.View{}
	until := int64(x.Len()) * nodeMiB * 90 / 100
	for app := 1; memory < until; app++ {
		size := sizes[app%len(sizes)]
		r := place.Request{MemoryMiB: size[0], CPUMilli: size[1], Seed: place.Seed(fmt.Sprint("app", app))}
		v.Reset()
		for k := 1 + r.Seed>>32%uint64(min(400, x.Len())); k > 0 && memory < until; k-- {
			i, _ := x.Pick(&r, v)
			if i < 0 {
				break
			}
			x.Take(i, &r, v)
			x.Starting(i, -1)
			placed, memory = placed+1, memory+r.MemoryMiB
		}
	}
	return placed, memory
}

// decisions fills an empty cluster to 90 %.
func decisions(_ context.Context, t *trial, n int) error {
	x := fleet(n)
	if i, _ := x.Pick(&place.Request{MemoryMiB: 1}, &place.View{}); i < 0 {
		return errors.New("an empty cluster has no room")
	}
	t.start()
	began := time.Now()
	placed, memory := fill(x)
	t.report(float64(placed)/time.Since(began).Seconds(), "decisions/s")
	t.report(float64(placed)/t.cpu().Seconds(), "decisions/CPU-s")
	t.report(100*float64(memory)/float64(nodeMiB*n), "%full")
	t.report(float64(placed), "instances")
	return nil
}

// refusal is how long it takes to say why nothing fits, in a full cluster.
func refusal(_ context.Context, t *trial, n int) error {
	x := fleet(n)
	fill(x)
	r, v := place.Request{MemoryMiB: 1 << 20}, &place.View{}
	t.start()
	began, rounds := time.Now(), 20
	for range rounds {
		if i, why := x.Pick(&r, v); i >= 0 || why.Nodes != n {
			return fmt.Errorf("picked node %d for 1 TiB", i)
		}
	}
	t.report(time.Since(began).Seconds()*1000/float64(rounds), "ms")
	return nil
}
