package source

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/dinp/dinp/common/route"
	"github.com/dinp/dinp/router/table"
)

func TestSnapshot_IsWrittenToAFileAsItIsEncoded(t *testing.T) {
	t.Parallel()
	some, bad := table.Build(route.Version{Epoch: 2, Seq: 7}, map[string]string{
		route.BackendPrefix + "a.x": route.EncodeBackend(route.Backend{App: "a"}), route.BackendPrefix + "b.x": route.EncodeBackend(route.Backend{App: "b"}),
		route.DomainPrefix + "c.y": "a.x",
	}, table.Empty())
	if len(bad) > 0 {
		t.Fatal(bad)
	}
	for _, tb := range []*table.Table{table.Empty(), some} {
		file := filepath.Join(t.TempDir(), "routes")
		rests := 0
		err := writeFile(file, func(f *os.File) error { return writeSnapshot(f, tb, func() { rests++ }) })
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(file)
		if want := table.EncodeSnapshot(tb); err != nil || !bytes.Equal(got, want) {
			t.Errorf("the file holds %q, %v; want %q", got, err, want)
		}
		if hosts, domains := tb.Len(); rests < hosts+domains {
			t.Errorf("the writer could rest %d times between %d entries", rests, hosts+domains)
		}
	}
}

func TestSnapshot_WhatAKilledRouterHadBegunToWriteIsRemovedInTheEnd(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "routes")
	old, fresh := file+".tmp-1", file+".tmp-2"
	for _, f := range []string{file, old, fresh} {
		if err := os.WriteFile(f, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	long := time.Now().Add(-2 * abandoned)
	if err := errors.Join(os.Chtimes(old, long, long), os.Chtimes(file, long, long)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	newSaver(file, time.Second, slog.New(slog.DiscardHandler)).run(ctx)
	left, err := filepath.Glob(file + "*")
	if want := []string{file, fresh}; err != nil || !slices.Equal(left, want) {
		t.Errorf("left are %v, %v; want %v", left, err, want)
	}
}

func TestSnapshot_ThatDoesNotFitOnTheDiskLeavesTheOldOne(t *testing.T) {
	t.Parallel()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	file := filepath.Join(t.TempDir(), "routes")
	if err := os.WriteFile(file, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	err = writeFile(file, func(*os.File) error { return writeSnapshot(full, table.Empty(), func() {}) })
	left, _ := filepath.Glob(file + "*")
	if got, _ := os.ReadFile(file); err == nil || string(got) != "old" || len(left) != 1 {
		t.Errorf("got %v, a file of %q and the files %v; want an error and the old file alone", err, got, left)
	}
}
