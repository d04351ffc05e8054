package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/dinp/dinp/server"
	"github.com/dinp/dinp/server/enrol"
	"github.com/dinp/dinp/sql/store"
)

// benchSecret is the secret of the benchmark's own cluster.
const benchSecret = "the secret of the benchmark's cluster"

// openStore opens the database that all processes share, and the authority in it.
func openStore(ctx context.Context, database string) (*store.Store, *enrol.Authority, error) {
	st, err := store.Open(ctx, database)
	if err != nil {
		return nil, nil, err
	}
	authority, err := enrol.Open(ctx, st, benchSecret, time.Hour)
	if err != nil {
		st.Close()
		return nil, nil, err
	}
	return st, authority, nil
}

// runServer is the process of a server, as it runs in a cluster.
func runServer(ctx context.Context, o order) error {
	st, authority, err := openStore(ctx, o.Database)
	if err != nil {
		return err
	}
	defer st.Close()
	rdb := redis.NewClient(&redis.Options{Addr: o.Redis})
	defer rdb.Close()
	cfg := server.Default()
	cfg.ID, cfg.Listen, cfg.Admin, cfg.Authority, cfg.Secret = o.ID, o.Listen, "127.0.0.1:0", authority, benchSecret
	if o.Sweep > 0 {
		cfg.Sweep = o.Sweep
	}
	if o.Hasty {
		cfg.Heartbeat, cfg.LostAfter, cfg.LeaseTTL, cfg.MinReady = 200*time.Millisecond, 5*time.Second, 5*time.Second, 10*time.Millisecond
	}
	s := server.New(cfg, st, rdb, slog.Default())
	if err := s.Listen(); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	err = serveOrders(ctx, func(word string, n int) (any, error) {
		switch word {
		case "leads":
			return s.Leads(), nil
		case "memory":
			return memoryInUse(), nil
		case "profile":
			return true, profile(fmt.Sprintf("%s-%d", o.Profile, n))
		case "profiled":
			return true, profiled(fmt.Sprintf("%s-%d", o.Profile, n))
		}
		return nil, fmt.Errorf("no such order: %q", word)
	})
	stop()
	<-ended
	return err
}

// profile begins to write a CPU profile, and ends one that was begun; profiled ends
// it, with one of the heap.
func profile(file string) error {
	pprof.StopCPUProfile()
	f, err := os.Create(file + ".cpu")
	if err != nil {
		return err
	}
	return pprof.StartCPUProfile(f)
}

func profiled(file string) error {
	pprof.StopCPUProfile()
	runtime.GC()
	f, err := os.Create(file + ".heap")
	if err != nil {
		return err
	}
	defer f.Close()
	return pprof.WriteHeapProfile(f)
}

// held is what a process holds, in bytes.
type held struct{ Heap, Stacks uint64 }

func (m held) all() uint64 { return m.Heap + m.Stacks }

// memoryInUse is what this process holds after a collection.
func memoryInUse() held {
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return held{m.HeapAlloc, m.StackInuse}
}

// serveOrders answers lines of "WORD NUMBER" on the standard input with lines of
// JSON, until the input or ctx ends.
func serveOrders(ctx context.Context, answer func(word string, n int) (any, error)) error {
	fmt.Println(`"ready"`)
	lines := make(chan string)
	go func() {
		defer close(lines)
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
			lines <- in.Text()
		}
	}()
	out := json.NewEncoder(os.Stdout)
	for {
		select {
		case <-ctx.Done():
			return nil
		case line, ok := <-lines:
			if !ok {
				return nil
			}
			word, number, _ := strings.Cut(line, " ")
			n, _ := strconv.Atoi(number)
			v, err := answer(word, n)
			if err == nil {
				err = out.Encode(v)
			}
			if err != nil {
				return err
			}
		}
	}
}

// child is a process of the benchmark, in another process so that its CPU time
// and memory are its own.
type child struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *json.Decoder
}

// startChild runs this program as another part, until the row or ctx ends.
func startChild(ctx context.Context, b *bench, o order) (*child, error) {
	text, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &child{cmd: exec.CommandContext(ctx, self)}
	c.cmd.Env = append(os.Environ(), orderVariable+"="+string(text))
	c.cmd.Stderr = os.Stderr
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.out = json.NewDecoder(out)
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	b.Cleanup(c.kill)
	var ready string
	return c, c.out.Decode(&ready)
}

// ask gives an order and reads the answer.
func (c *child) ask(into any, format string, args ...any) error {
	if _, err := fmt.Fprintf(c.in, format+"\n", args...); err != nil {
		return err
	}
	return c.out.Decode(into)
}

// leave lets the process end as it does when it is stopped.
func (c *child) leave() error {
	c.in.Close()
	return c.cmd.Wait()
}

// kill ends it at once.
func (c *child) kill() {
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait() // it may have ended before
}

// cpu is the CPU time that the process has used.
func (c *child) cpu() (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	user, err := strconv.Atoi(f[11])
	if err != nil {
		return 0, err
	}
	system, err := strconv.Atoi(f[12])
	return time.Duration(user+system) * 10 * time.Millisecond, err // USER_HZ is 100 on Linux
}
