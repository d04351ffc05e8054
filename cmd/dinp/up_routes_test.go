package main

import (
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/alicebob/miniredis/v2"

	"github.com/dinp/dinp/common/route"
	"github.com/dinp/dinp/router/table"
)

func TestRefill_TheRoutesOfARoutersFileAreInTheStore_AndASpoiltFileGivesNone(t *testing.T) {
	entries := map[string]string{
		"/rs/shop.local":  `{"app":"shop","endpoints":[{"addr":"127.0.0.1:9","instance":"i","release":3,"weight":100}]}`,
		"/cname/www.shop": "shop.local",
	}
	was, bad := table.Build(route.Version{Epoch: 7, Seq: 12}, entries, table.Empty())
	if len(bad) > 0 {
		t.Fatal(bad)
	}
	file := filepath.Join(t.TempDir(), "routes.json")
	whole := table.EncodeSnapshot(was)
	for _, c := range []struct {
		name string
		file []byte // nil: there is none
		want map[string]string
		ok   bool
	}{
		{"none", nil, nil, true},
		{"cut", whole[:len(whole)-1], nil, false},
		{"whole", whole, entries, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.file != nil {
				if err := os.WriteFile(file, c.file, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			store := miniredis.RunT(t)
			if err := refill(store, file); err == nil != c.ok {
				t.Errorf("got %v", err)
			}
			got := map[string]string{}
			for _, key := range store.Keys() {
				if key != route.VersionKey {
					got[key], _ = store.Get(key)
				}
			}
			if !maps.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
			if c.want == nil {
				return
			}
			head, err := route.ParseHead(map[string]string{"epoch": store.HGet(route.VersionKey, "epoch"), "seq": store.HGet(route.VersionKey, "seq")})
			if err != nil || head.Version != was.Version() {
				t.Errorf("the store is at %v, %v, want %v", head, err, was.Version())
			}
		})
	}
}
