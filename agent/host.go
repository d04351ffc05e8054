package agent

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
)

// host is what the machine tells of itself.
type host struct {
	name      string
	address   string
	memoryMiB int64
	cpuMilli  int64
}

func readHost(server string) (host, error) {
	name, err := os.Hostname()
	if err != nil {
		return host{}, fmt.Errorf("host name: %w", err)
	}
	info, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return host{}, fmt.Errorf("host memory: %w", err)
	}
	total, err := totalMiB(info)
	if err != nil {
		return host{}, err
	}
	address, err := addressTowards(server)
	if err != nil {
		return host{}, fmt.Errorf("own address, as seen from server %s: %w; set address in the configuration", server, err)
	}
	return host{
		name: name, address: address,
		memoryMiB: total - total/10, // a tenth is for the engine, the agent and the kernel
		cpuMilli:  int64(runtime.NumCPU()) * 1000,
	}, nil
}

// totalMiB reads the line "MemTotal:  16303420 kB".
func totalMiB(meminfo []byte) (int64, error) {
	for line := range bytes.Lines(meminfo) {
		f := bytes.Fields(line)
		if len(f) >= 2 && string(f[0]) == "MemTotal:" {
			kib, err := strconv.ParseInt(string(f[1]), 10, 64)
			return kib / 1024, err
		}
	}
	return 0, fmt.Errorf("host memory: no MemTotal")
}

// addressTowards returns the IP from which packets to addr leave. Nothing is
// sent: connecting a datagram socket only asks the routing table.
func addressTowards(addr string) (string, error) {
	conn, err := net.Dial("udp", addr)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).IP.String(), nil
}
