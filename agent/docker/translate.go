package docker

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/go-connections/nat"

	"github.com/dinp/dinp/agent/runtime"
	"github.com/dinp/dinp/common/model"
)

// This file is pure: a Spec in, the engine's structures out, and back.

const (
	mib = 1 << 20
	// maxPids stops a fork bomb; a JVM under load has some hundred threads.
	maxPids = 4096
)

// droppedCaps are what Docker grants by default and no web app needs. The rest
// stays: entry points of ordinary images change owners, switch users and bind
// low ports.
var droppedCaps = []string{"AUDIT_WRITE", "MKNOD", "NET_RAW", "SETFCAP"}

// containerConfig is what the container is: image, command, environment, labels.
func (o Options) containerConfig(s runtime.Spec) *container.Config {
	port := tcpPort(s.Port)
	return &container.Config{
		Image:        o.imageRef(s.Image),
		Cmd:          s.Command,
		Env:          o.environment(s),
		Labels:       o.labels(s),
		ExposedPorts: nat.PortSet{port: struct{}{}},
	}
}

// hostConfig is what the container may use of the host.
func (o Options) hostConfig(s runtime.Spec) *container.HostConfig {
	yes, pids := true, int64(maxPids)
	return &container.HostConfig{
		Init: &yes, // reaps zombies and forwards the stop signal to shells that would not
		Resources: container.Resources{
			Memory:     s.MemoryMiB * mib,
			MemorySwap: s.MemoryMiB * mib, // the same: no swap, or a full app makes the whole host crawl
			NanoCPUs:   s.CPUMilli * 1e6,
			PidsLimit:  &pids,
		},
		PortBindings: nat.PortMap{tcpPort(s.Port): {{HostIP: o.PublishIP}}}, // no host port: the engine picks a free one
		// The engine never restarts by itself: the leader decides where an
		// instance runs next, and a restarted one would have another port.
		RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyDisabled},
		SecurityOpt:   []string{"no-new-privileges"},
		CapDrop:       droppedCaps,
		LogConfig:     container.LogConfig{Type: "json-file", Config: map[string]string{"max-size": "4m", "max-file": "2"}},
	}
}

// imageRef is the image as the engine pulls it.
func (o Options) imageRef(image string) string {
	if o.Registry == "" {
		return image
	}
	return o.Registry + "/" + image
}

// environment is the app's own variables, and over them the platform's.
func (o Options) environment(s runtime.Spec) []string {
	env := maps.Clone(s.Env)
	if env == nil {
		env = map[string]string{}
	}
	maps.Copy(env, map[string]string{
		"APP_NAME":      s.AppName,
		"PORT":          strconv.Itoa(s.Port),
		"HOST_IP":       o.Address,
		"DINP_APP":      s.AppName,
		"DINP_RELEASE":  "v" + strconv.Itoa(s.Release),
		"DINP_INSTANCE": s.InstanceID,
		"DINP_SLOT":     strconv.Itoa(s.Slot),
	})
	out := make([]string, 0, len(env))
	for _, k := range slices.Sorted(maps.Keys(env)) {
		out = append(out, k+"="+env[k])
	}
	return out
}

func (o Options) labels(s runtime.Spec) map[string]string {
	return map[string]string{
		model.LabelInstance: s.InstanceID,
		model.LabelApp:      s.AppID,
		model.LabelName:     s.AppName,
		model.LabelRelease:  s.ReleaseID,
		model.LabelNode:     o.NodeID,
		model.LabelSpec:     s.Hash,
	}
}

// ours reports whether labels mark the container of that instance on this node.
func (o Options) ours(labels map[string]string, instanceID string) bool {
	return labels[model.LabelNode] == o.NodeID && labels[model.LabelInstance] == instanceID && instanceID != ""
}

// onlyOurs makes the engine leave out what is not this node's.
func (o Options) onlyOurs() filters.Args {
	return filters.NewArgs(filters.Arg("label", model.LabelNode+"="+o.NodeID), filters.Arg("label", model.LabelInstance))
}

// fromInspect reads an inspected container.
func (o Options) fromInspect(in container.InspectResponse) runtime.Container {
	c := runtime.Container{ID: in.ID}
	c.CreatedAt, _ = time.Parse(time.RFC3339Nano, in.Created) // the zero time when it cannot be read
	if in.Config != nil {
		c.InstanceID, c.AppID = in.Config.Labels[model.LabelInstance], in.Config.Labels[model.LabelApp]
		c.ReleaseID, c.SpecHash = in.Config.Labels[model.LabelRelease], in.Config.Labels[model.LabelSpec]
	}
	if in.HostConfig != nil {
		c.MemoryMiB, c.CPUMilli = in.HostConfig.Memory/mib, in.HostConfig.NanoCPUs/1e6
	}
	if s := in.State; s != nil {
		c.State = stateOf(s.Status)
		c.ExitCode, c.OOM, c.Error = s.ExitCode, s.OOMKilled, s.Error
		c.StartedAt, _ = time.Parse(time.RFC3339Nano, s.StartedAt) // the zero time when never started
	}
	if c.State == runtime.Running && in.NetworkSettings != nil {
		c.Addr = o.publishedAddr(in.NetworkSettings.Ports)
	}
	return c
}

// fromSummary reads a line of the list.
func (o Options) fromSummary(in container.Summary) runtime.Container {
	c := runtime.Container{
		ID: in.ID, InstanceID: in.Labels[model.LabelInstance], AppID: in.Labels[model.LabelApp],
		ReleaseID: in.Labels[model.LabelRelease], SpecHash: in.Labels[model.LabelSpec], State: stateOf(in.State),
	}
	if c.State != runtime.Running {
		return c
	}
	for _, p := range in.Ports {
		if p.Type == "tcp" && p.PublicPort != 0 {
			c.Addr = o.at(strconv.Itoa(int(p.PublicPort)))
			if !strings.Contains(p.IP, ":") {
				break
			}
		}
	}
	return c
}

// publishedAddr is where the one port we publish is reached. An engine that
// binds IPv4 and IPv6 picks a port for each; routers dial the IPv4 one.
func (o Options) publishedAddr(ports nat.PortMap) string {
	addr := ""
	for _, p := range slices.Sorted(maps.Keys(ports)) {
		for _, b := range ports[p] {
			if b.HostPort == "" {
				continue
			}
			addr = o.at(b.HostPort)
			if !strings.Contains(b.HostIP, ":") {
				return addr
			}
		}
	}
	return addr
}

// at is the node's address with a port; package net, which could join them, has
// no place in a pure file.
func (o Options) at(port string) string {
	if strings.Contains(o.Address, ":") {
		return "[" + o.Address + "]:" + port
	}
	return o.Address + ":" + port
}

// stateOf maps the engine's words. A paused or restarting container still has
// its process; one being removed has none worth keeping.
func stateOf(status string) runtime.State {
	switch status {
	case container.StateCreated:
		return runtime.Created
	case container.StateRunning, container.StatePaused, container.StateRestarting:
		return runtime.Running
	}
	return runtime.Exited
}

func tcpPort(port int) nat.Port { return nat.Port(strconv.Itoa(port) + "/tcp") }
