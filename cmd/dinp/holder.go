package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/dinp/dinp/common/model"
)

// bind listens on addr. A taken port is refused with who holds it, when that
// can be told, and the flag that changes it.
func bind(what, addr, flag string) (net.Listener, error) {
	ln, err := net.Listen("tcp", addr)
	if err == nil {
		return ln, nil
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, portTaken(what, addr, flag)
	}
	return nil, model.E(model.CodeBadConfig, "%s cannot listen on %s: %v", what, addr, err).WithNext("choose another address with %s", flag)
}

func portTaken(what, addr, flag string) error {
	e := model.E(model.CodePortTaken, "%s needs %s, which is in use", what, addr)
	if _, port, err := net.SplitHostPort(addr); err == nil {
		if who := portHolder(port); who != "" {
			e = model.E(model.CodePortTaken, "%s needs %s, which is in use by %s", what, addr, who)
		}
	}
	return e.WithNext("stop that program, or choose another address with %s", flag)
}

// portHolder names the process that listens on a TCP port, as "name (pid 123)";
// "" when it cannot be told. It reads /proc, so it knows Linux only.
func portHolder(port string) string {
	n, err := strconv.Atoi(port)
	if err != nil {
		return ""
	}
	inodes := map[string]bool{}
	for _, file := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			f := strings.Fields(line)
			const listening = "0A"
			if len(f) > 9 && f[3] == listening && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", n)) {
				inodes["socket:["+f[9]+"]"] = true
			}
		}
	}
	if len(inodes) == 0 {
		return ""
	}
	return socketHolder(inodes)
}

func socketHolder(inodes map[string]bool) string {
	fds, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return ""
	}
	for _, fd := range fds {
		to, err := os.Readlink(fd)
		if err != nil || !inodes[to] {
			continue
		}
		pid := strings.Split(fd, "/")[2]
		name, err := os.ReadFile("/proc/" + pid + "/comm")
		if err != nil {
			return "pid " + pid
		}
		return strings.TrimSpace(string(name)) + " (pid " + pid + ")"
	}
	return ""
}
