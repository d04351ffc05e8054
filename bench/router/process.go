package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// descriptors is how many files and connections one process may have open; what
// we start inherits it.
func descriptors() int {
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) != nil {
		return 1024 // what every system allows
	}
	return int(min(l.Max, 1<<20))
}

// process is a program that runs beside the bench, with its children.
type process struct {
	cmd  *exec.Cmd
	log  string
	gone chan struct{}
}

func start(ctx context.Context, log, program string, args ...string) (*process, error) {
	f, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdout, cmd.Stderr = f, f
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, log: log, gone: make(chan struct{})}
	go func() {
		cmd.Wait() // how it ended is of no interest: we end it
		close(p.gone)
	}()
	return p, nil
}

// stop ends the process; its children are those of servers, which end with it.
func (p *process) stop() {
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.gone:
	case <-time.After(5 * time.Second):
		p.cmd.Process.Kill()
		<-p.gone
	}
}

// family returns the process and its children.
func (p *process) family() []string {
	pids := []string{strconv.Itoa(p.cmd.Process.Pid)}
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%[1]s/task/%[1]s/children", pids[0]))
	return append(pids, strings.Fields(string(b))...)
}

// cpu returns the time the processors have spent on the process, in user and system mode.
func (p *process) cpu() time.Duration {
	var ticks int64
	for _, pid := range p.family() {
		b, err := os.ReadFile("/proc/" + pid + "/stat")
		if err != nil {
			continue
		}
		f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+2:]))
		for _, s := range f[11:13] { // utime and stime, see proc(5)
			n, _ := strconv.ParseInt(s, 10, 64)
			ticks += n
		}
	}
	return time.Duration(ticks) * 10 * time.Millisecond // USER_HZ is 100 everywhere
}

// memory returns the bytes that the process has made itself, and those of its
// program and libraries that lie in memory, which the kernel may drop. What
// several processes share is counted in parts.
func (p *process) memory() (own, program int64) {
	for _, pid := range p.family() {
		f, err := os.Open("/proc/" + pid + "/smaps_rollup")
		if err != nil {
			continue
		}
		for s := bufio.NewScanner(f); s.Scan(); {
			name, v, _ := strings.Cut(s.Text(), ":")
			kib := func() int64 {
				n, _ := strconv.ParseInt(strings.Fields(v)[0], 10, 64)
				return n << 10
			}
			switch name {
			case "Pss_Anon", "Pss_Shmem":
				own += kib()
			case "Pss_File":
				program += kib()
			}
		}
		f.Close()
	}
	return own, program
}
