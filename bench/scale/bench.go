package main

import (
	"context"
	"fmt"
	"os"
	"testing"
)

// bench stands in for a test where testenv starts a server for one: what it
// starts ends with the row.
type bench struct {
	testing.TB // nil: testenv needs no more than what is here
	cleanup    []func()
}

// failure is how Fatalf leaves the row.
type failure struct{ error }

// withServers runs a row that needs servers of its own.
func withServers(f func(b *bench) error) (err error) {
	b := &bench{}
	defer func() {
		for i := len(b.cleanup) - 1; i >= 0; i-- {
			b.cleanup[i]()
		}
	}()
	defer func() {
		switch r := recover().(type) {
		case nil:
		case failure:
			err = r.error
		default:
			panic(r)
		}
	}()
	return f(b)
}

// Helper implements testing.TB.
func (*bench) Helper() {}

// Cleanup implements testing.TB.
func (b *bench) Cleanup(f func()) { b.cleanup = append(b.cleanup, f) }

// Errorf implements testing.TB.
func (*bench) Errorf(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

// Fatalf implements testing.TB.
func (*bench) Fatalf(format string, args ...any) { panic(failure{fmt.Errorf(format, args...)}) }

// Context implements testing.TB.
func (*bench) Context() context.Context { return context.Background() }
