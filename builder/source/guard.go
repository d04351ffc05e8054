// Package source brings in what lies outside of the platform, at addresses that users name: artifacts by URL. Its guard
// is also asked by package image before it speaks to a registry that users name.
//
// Whoever may name an address makes the builder speak in its own network's name, so the rule is applied to the address
// that is really dialled, after every look-up and redirect: a name that resolves to another address the second time, or a
// page that redirects to a cloud's metadata service, meets the same wall. No proxy of the environment is used, because
// then the proxy's address would be checked instead.
package source

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// Guard decides which addresses may be connected to: public ones, and those of allow. hosts, by host:port as dialled,
// may lie anywhere but at link-local addresses.
type Guard struct {
	allow []netip.Prefix
	hosts map[string]bool
}

// ErrRefused is wrapped by the error of a connection that the guard did not let happen.
var ErrRefused = errors.New("address not allowed")

// NewGuard takes networks in CIDR form, or single addresses, that are allowed beside the public ones.
func NewGuard(allow []string) (Guard, error) {
	var g Guard
	for _, a := range allow {
		p, err := netip.ParsePrefix(a)
		if err != nil {
			one, bad := netip.ParseAddr(a)
			if bad != nil {
				return g, fmt.Errorf("%q is neither a network such as 10.1.0.0/16 nor an address", a)
			}
			p = netip.PrefixFrom(one.Unmap(), one.Unmap().BitLen())
		}
		g.allow = append(g.allow, p.Masked())
	}
	return g, nil
}

// WithHost returns a guard that lets connections to that host:port go anywhere but to link-local addresses.
func (g Guard) WithHost(hostPort string) Guard {
	hosts := map[string]bool{hostPort: true}
	for h := range g.hosts {
		hosts[h] = true
	}
	g.hosts = hosts
	return g
}

// DialContext connects as net.Dialer does, to addresses that are allowed.
func (g Guard) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	named := g.hosts[address]
	d := net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second, Control: func(_, resolved string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(resolved)
		if err != nil {
			return err
		}
		return g.check(to.Addr(), named)
	}}
	return d.DialContext(ctx, network, address)
}

// check refuses an address. Its text names the kind and not the address: who asks must not learn the network's map.
func (g Guard) check(ip netip.Addr, named bool) error {
	ip = ip.Unmap().WithZone("")
	for _, p := range g.allow {
		if p.Contains(ip) {
			return nil
		}
	}
	kind := kindOf(ip)
	if kind == "" || named && kind != linkLocal && kind != "unspecified" && kind != "multicast" {
		return nil
	}
	return fmt.Errorf("%w: it is %s", ErrRefused, kind)
}

const linkLocal = "link-local, where clouds keep their metadata service"

// special are the networks that are no public places, beside those that netip itself knows.
var special = []struct {
	prefix netip.Prefix
	kind   string
}{
	{netip.MustParsePrefix("0.0.0.0/8"), "unspecified"},
	{netip.MustParsePrefix("100.64.0.0/10"), "of a provider's inner network"},
	{netip.MustParsePrefix("192.0.0.0/24"), "reserved"},
	{netip.MustParsePrefix("192.0.2.0/24"), "reserved"},
	{netip.MustParsePrefix("198.18.0.0/15"), "reserved"},
	{netip.MustParsePrefix("198.51.100.0/24"), "reserved"},
	{netip.MustParsePrefix("203.0.113.0/24"), "reserved"},
	{netip.MustParsePrefix("240.0.0.0/4"), "reserved"},
	{netip.MustParsePrefix("100::/64"), "reserved"},
	{netip.MustParsePrefix("2001:db8::/32"), "reserved"},
	{netip.MustParsePrefix("fec0::/10"), "private"},
}

// embedded are the IPv6 networks whose addresses stand for IPv4 ones, and at which byte these begin.
var embedded = []struct {
	prefix netip.Prefix
	at     int
}{
	{netip.MustParsePrefix("64:ff9b::/96"), 12},   // NAT64
	{netip.MustParsePrefix("64:ff9b:1::/48"), 12}, // NAT64, local
	{netip.MustParsePrefix("2002::/16"), 2},       // 6to4
	{netip.MustParsePrefix("::/96"), 12},          // compatible, long out of use
}

// kindOf says what an address is; "" for a public one.
func kindOf(ip netip.Addr) string {
	switch {
	case !ip.IsValid() || ip.IsUnspecified():
		return "unspecified"
	case ip.IsLoopback():
		return "this machine itself"
	case ip.IsLinkLocalUnicast():
		return linkLocal
	case ip.IsMulticast():
		return "multicast"
	case ip.IsPrivate():
		return "private"
	}
	for _, s := range special {
		if s.prefix.Contains(ip) {
			return s.kind
		}
	}
	for _, e := range embedded {
		if e.prefix.Contains(ip) {
			b := ip.As16()
			return kindOf(netip.AddrFrom4([4]byte(b[e.at : e.at+4])))
		}
	}
	return ""
}
