package expression

import (
	"net/netip"

	"go.starlark.net/starlark"
)

// address is Python's ipaddress.ip_address; network its ip_network.
type (
	address struct{ netip.Addr }
	network struct{ netip.Prefix }
)

// ipAddress is ip_address(text).
func ipAddress(_ *run, a *args) starlark.Value {
	if o, ok := a.one().(*object); ok {
		if _, ok := o.data.(*address); ok {
			return o
		}
	}
	addr, err := netip.ParseAddr(cut(a.text(a.pos[0], "the argument", ""), 100))
	if err != nil {
		fail("ValueError: ip_address() needs an IPv4 or IPv6 address")
	}
	return newAddress(addr)
}

func newAddress(addr netip.Addr) *object {
	kind, version := "IPv4Address", 4
	if addr.Is6() {
		kind, version = "IPv6Address", 6
	}
	o := &object{kind: kind, id: addr.String(), text: addr.String, data: &address{addr}}
	o.get = func(name string) starlark.Value {
		switch name {
		case "version":
			return starlark.MakeInt(version)
		case "compressed":
			return starlark.String(addr.String())
		case "exploded":
			return starlark.String(addr.StringExpanded())
		case "is_private":
			return starlark.Bool(private(addr))
		case "is_global":
			return starlark.Bool(!private(addr) && !addr.IsMulticast())
		case "is_loopback":
			return starlark.Bool(addr.IsLoopback())
		case "is_link_local":
			return starlark.Bool(addr.IsLinkLocalUnicast())
		case "is_multicast":
			return starlark.Bool(addr.IsMulticast())
		case "is_unspecified":
			return starlark.Bool(addr.IsUnspecified())
		}
		return nil
	}
	return o
}

// private is what the registries of IANA list as not globally reachable.
func private(a netip.Addr) bool {
	a = a.Unmap()
	if a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsUnspecified() {
		return true
	}
	for _, p := range []string{
		"0.0.0.0/8", "192.0.0.0/29", "192.0.2.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
		"100::/64", "2001::/23", "2001:db8::/32",
	} {
		if netip.MustParsePrefix(p).Contains(a) {
			return true
		}
	}
	return false
}

// addressPlus is address + n.
func (r *run) addressPlus(a *address, n starlark.Value) starlark.Value {
	i, ok := asInt(n)
	if !ok {
		return nil
	}
	count := clamp(i)
	if count > 100_000 || count < -100_000 {
		fail("OverflowError: only small numbers can be added to an address")
	}
	r.charge(max(count, -count))
	addr := a.Addr
	for ; count > 0; count-- {
		addr = addr.Next()
	}
	for ; count < 0; count++ {
		addr = addr.Prev()
	}
	if !addr.IsValid() {
		fail("OverflowError: there is no such address")
	}
	return newAddress(addr)
}

// ipNetwork is ip_network(text, strict=True).
func ipNetwork(_ *run, a *args) starlark.Value {
	b := a.bind(1, "address", "strict")
	s := cut(a.text(b[0], "address", ""), 100)
	p, err := netip.ParsePrefix(s)
	if err != nil {
		addr, err := netip.ParseAddr(s)
		if err != nil {
			fail("ValueError: ip_network() needs a network such as 10.0.0.0/8")
		}
		p = netip.PrefixFrom(addr, addr.BitLen())
	}
	if p.Masked() != p {
		if b[1] == nil || bool(b[1].Truth()) {
			fail("ValueError: the network has host bits set")
		}
		p = p.Masked()
	}
	return newNetwork(p)
}

func newNetwork(p netip.Prefix) *object {
	kind, version := "IPv4Network", 4
	if p.Addr().Is6() {
		kind, version = "IPv6Network", 6
	}
	n := &network{p}
	o := &object{kind: kind, id: p.String(), text: p.String, data: n}
	with := func(name string, test func(other netip.Prefix) bool) starlark.Value {
		return &builtin{name: name, fn: func(_ *run, a *args) starlark.Value {
			other, _ := a.one().(*object)
			if other == nil {
				fail("TypeError: %s() needs a network", name)
			}
			q, ok := other.data.(*network)
			if !ok {
				fail("TypeError: %s() needs a network", name)
			}
			return starlark.Bool(test(q.Prefix))
		}}
	}
	o.get = func(name string) starlark.Value {
		switch name {
		case "version":
			return starlark.MakeInt(version)
		case "prefixlen":
			return starlark.MakeInt(p.Bits())
		case "network_address":
			return newAddress(p.Addr())
		case "with_prefixlen":
			return starlark.String(p.String())
		case "num_addresses":
			return starlark.MakeInt(1).Lsh(uint(p.Addr().BitLen() - p.Bits()))
		case "is_private":
			return starlark.Bool(private(p.Addr()))
		case "overlaps":
			return with(name, p.Overlaps)
		case "subnet_of":
			return with(name, func(q netip.Prefix) bool { return q.Bits() <= p.Bits() && q.Overlaps(p) })
		case "supernet_of":
			return with(name, func(q netip.Prefix) bool { return p.Bits() <= q.Bits() && q.Overlaps(p) })
		}
		return nil
	}
	return o
}
