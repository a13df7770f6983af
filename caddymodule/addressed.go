package caddymodule

import (
	"context"
	"hash/maphash"
	"strings"
	"sync/atomic"

	"github.com/postern-sso/postern/core"
)

// addressedSlots is how many Hosts are found at first glance; two that share a slot take turns.
const addressedSlots = 1024

// addressed is where a Host led. It holds while rounds stay what they were before it was looked for.
type addressed struct {
	scheme, asked string // as the request has it
	rounds        rounds
	host          string // as core.RequestInfo has it
	name          string // without the port
	tenant        *core.Tenant
}

// rounds count the changes of all that says whose a host is, but for the configuration, which stays.
type rounds struct{ registry, hosts uint64 }

// lately remembers where Hosts led: those of one application come many times in a row, and what they
// lead to takes several searches each time.
type lately struct {
	seed  maphash.Seed
	slots [addressedSlots]atomic.Pointer[addressed]
}

func newLately() *lately { return &lately{seed: maphash.MakeSeed()} }

func (l *lately) slot(asked string) *atomic.Pointer[addressed] {
	return &l.slots[maphash.String(l.seed, asked)%addressedSlots]
}

// address finds out whom a request's Host addresses. Where err is set and host is not "", the host
// is one, and a guard may know better whose.
func (s *system) address(ctx context.Context, scheme, asked string) (to addressed, err error) {
	slot := s.lately.slot(asked)
	now := rounds{s.shared.db.RegistryRound(ctx), s.shared.hosts.changes.Load()}
	if known := slot.Load(); known != nil && known.asked == asked && known.scheme == scheme && known.rounds == now {
		return *known, nil
	}
	name, port, err := core.NormalizeHost(asked)
	if err != nil {
		return to, err
	}
	// What is remembered, here and behind a guard, is no part of the request, of which a Host in the absolute
	// form (RFC 9112 §3.2.2) would keep a whole line, of a megabyte, in memory.
	to = addressed{scheme: scheme, asked: strings.Clone(asked), rounds: now, name: strings.Clone(name)}
	to.host = joinDefault(scheme, to.name, port)
	if to.tenant, err = s.tenant(ctx, to.name); err == nil {
		known := to
		slot.Store(&known)
	}
	return to, err
}
