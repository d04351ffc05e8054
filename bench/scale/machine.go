package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// fact is a line of the machine's description.
type fact struct{ name, value string }

// machine describes what the figures were taken on, as far as it can be told.
func machine() []fact {
	return []fact{
		{"commit", commit()},
		{"date", time.Now().UTC().Format(time.RFC3339)},
		{"cpu", fmt.Sprintf("%s, %d cores, GOMAXPROCS %d", field("/proc/cpuinfo", "model name"), runtime.NumCPU(), runtime.GOMAXPROCS(0))},
		{"memory", field("/proc/meminfo", "MemTotal")},
		{"system", runtime.GOOS + "/" + runtime.GOARCH + " " + first("/proc/sys/kernel/osrelease") + ", " + runtime.Version()},
		{"load", first("/proc/loadavg")},
	}
}

func commit() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

// field finds the value of a "name: value" line.
func field(file, name string) string {
	f, err := os.Open(file)
	if err != nil {
		return "unknown"
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if k, v, ok := strings.Cut(s.Text(), ":"); ok && strings.TrimSpace(k) == name {
			return strings.TrimSpace(v)
		}
	}
	return "unknown"
}

func first(file string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(b))
}
