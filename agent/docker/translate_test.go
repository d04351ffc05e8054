package docker

import (
	"reflect"
	"slices"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/go-connections/nat"

	"github.com/dinp/dinp/agent/runtime"
)

var (
	options = Options{NodeID: "n1", Address: "10.0.0.1", PublishIP: "0.0.0.0", Registry: "127.0.0.1:5080"}
	spec    = runtime.Spec{
		InstanceID: "i1", AppID: "a1", AppName: "shop", ReleaseID: "r1", Release: 3, Slot: 2, Image: "dinp/apps/shop@sha256:00",
		Command: []string{"./app"}, Env: map[string]string{"DB": "x", "PORT": "1"}, Port: 8080, MemoryMiB: 256, CPUMilli: 500, Hash: "h",
	}
)

func TestTranslate_ContainerConfig(t *testing.T) {
	got := options.containerConfig(spec)
	want := &container.Config{
		Image: "127.0.0.1:5080/dinp/apps/shop@sha256:00", Cmd: []string{"./app"},
		Env: []string{"APP_NAME=shop", "DB=x", "DINP_APP=shop", "DINP_INSTANCE=i1", "DINP_RELEASE=v3", "DINP_SLOT=2",
			"HOST_IP=10.0.0.1", "PORT=8080"},
		Labels:       map[string]string{"dinp.instance": "i1", "dinp.app": "a1", "dinp.name": "shop", "dinp.release": "r1", "dinp.node": "n1", "dinp.spec": "h"},
		ExposedPorts: nat.PortSet{"8080/tcp": {}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if spec.Env["PORT"] != "1" {
		t.Error("the spec was changed")
	}
}

func TestTranslate_LimitsAreSet(t *testing.T) {
	h := options.hostConfig(spec)
	if h.Memory != 256<<20 || h.MemorySwap != h.Memory || h.NanoCPUs != 500_000_000 || *h.PidsLimit != maxPids || !*h.Init {
		t.Errorf("resources %+v", h.Resources)
	}
	if h.RestartPolicy.Name != "no" || h.Privileged || !slices.Contains(h.SecurityOpt, "no-new-privileges") ||
		!slices.Contains(h.CapDrop, "NET_RAW") {
		t.Errorf("host config %+v", h)
	}
	if b := h.PortBindings["8080/tcp"]; len(b) != 1 || b[0] != (nat.PortBinding{HostIP: "0.0.0.0"}) {
		t.Errorf("bindings %v", b)
	}
}

func TestTranslate_PublishedAddr_PrefersIPv4(t *testing.T) {
	got := options.publishedAddr(nat.PortMap{
		"9090/tcp": nil,
		"8080/tcp": {{HostIP: "::", HostPort: "49154"}, {HostIP: "0.0.0.0", HostPort: "49153"}},
	})
	if got != "10.0.0.1:49153" {
		t.Errorf("got %q", got)
	}
	six := Options{Address: "fd00::1"}
	if got := six.publishedAddr(nat.PortMap{"8080/tcp": {{HostIP: "::", HostPort: "49154"}}}); got != "[fd00::1]:49154" {
		t.Errorf("got %q", got)
	}
	if got := options.publishedAddr(nil); got != "" {
		t.Errorf("no ports: %q", got)
	}
}

func TestTranslate_OwnershipIsByNodeAndInstance(t *testing.T) {
	for _, c := range []struct {
		labels map[string]string
		want   bool
	}{
		{map[string]string{"dinp.node": "n1", "dinp.instance": "i1"}, true},
		{map[string]string{"dinp.node": "n2", "dinp.instance": "i1"}, false},
		{map[string]string{"dinp.node": "n1", "dinp.instance": "i2"}, false},
		{map[string]string{"dinp.node": "n1"}, false},
		{nil, false},
	} {
		if got := options.ours(c.labels, "i1"); got != c.want {
			t.Errorf("ours(%v) = %v", c.labels, got)
		}
	}
}
