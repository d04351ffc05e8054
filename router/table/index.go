package table

import "maps"

// shardCount spreads the keys so that changing one copies one small map: the
// cost of a change is one map of n/1024 keys and an array of pointers.
const shardCount = 1024

// index is an immutable map in shards. Neither the array nor a shard is written
// once the table that holds it has been returned.
type index[V any] struct {
	shards *[shardCount]*shard[V] // nil while empty
	size   int
}

// shard returns one shard, nil when it is empty.
func (x *index[V]) shard(i int) *shard[V] {
	if x.shards == nil {
		return nil
	}
	return x.shards[i]
}

type shard[V any] struct{ m map[string]V }

// shardOf is FNV-1a. Only the leader chooses keys, so it need not resist
// flooding; visitors choose only what is looked up.
func shardOf(key string) int {
	h := uint32(2166136261)
	for i := range len(key) {
		h = (h ^ uint32(key[i])) * 16777619
	}
	return int((h ^ h>>16) % shardCount)
}

func (x *index[V]) find(key string) (V, bool) {
	if s := x.shard(shardOf(key)); s != nil {
		v, ok := s.m[key]
		return v, ok
	}
	var zero V
	return zero, false
}

// each calls f for every key until it returns false, in no order.
func (x *index[V]) each(f func(string, V) bool) bool {
	for i := range shardCount {
		s := x.shard(i)
		if s == nil {
			continue
		}
		for k, v := range s.m {
			if !f(k, v) {
				return false
			}
		}
	}
	return true
}

// eachChanged calls f for every key of x that lies in a shard y does not share.
func (x *index[V]) eachChanged(y *index[V], f func(string, V)) {
	if x.shards == y.shards {
		return
	}
	for i := range shardCount {
		s := x.shard(i)
		if s == nil || s == y.shard(i) {
			continue
		}
		for k, v := range s.m {
			f(k, v)
		}
	}
}

// writer edits a copy of an index; what it does not touch it shares.
type writer[V any] struct {
	index[V]
	owned *[shardCount]bool // shards copied already; nil before the array is
}

func (w *writer[V]) own(key string) map[string]V {
	if w.owned == nil {
		w.owned = new([shardCount]bool)
		fresh := new([shardCount]*shard[V])
		if w.shards != nil {
			*fresh = *w.shards
		}
		w.shards = fresh
	}
	i := shardOf(key)
	if !w.owned[i] {
		fresh := &shard[V]{m: map[string]V{}}
		if old := w.shards[i]; old != nil {
			fresh.m = maps.Clone(old.m)
		}
		w.shards[i], w.owned[i] = fresh, true
	}
	return w.shards[i].m
}

func (w *writer[V]) set(key string, v V) {
	m := w.own(key)
	before := len(m)
	m[key] = v
	w.size += len(m) - before
}

func (w *writer[V]) del(key string) {
	if _, ok := w.find(key); !ok {
		return
	}
	delete(w.own(key), key)
	w.size--
}
