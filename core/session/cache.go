package session

import (
	"sync"
	"sync/atomic"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/cache"
)

// remembered holds live sessions by tenant and ID, and beside them which ID a key
// belongs to. That never changes while a session lives, so only the first has to
// forget: a key whose session is gone leads nowhere.
type remembered struct {
	ids      *cache.Cache[core.SessionID]
	sessions *cache.Cache[*entry]

	// mu orders what is added against what is dropped. A load that began before
	// a drop may have read what the drop's delete removed; it carries an
	// older generation, and is not added.
	mu    sync.RWMutex
	drops atomic.Uint64

	recent recent
}

func keyRef(t core.TenantID, hash [32]byte) cache.Key {
	return cache.Key{Tenant: t, Hash: hash}
}

func idRef(t core.TenantID, id core.SessionID) cache.Key {
	return cache.Key{Tenant: t, ID: string(id)}
}

// entry is one session; when it is seen, a copy with the new time replaces it.
type entry struct {
	session atomic.Pointer[core.Session]
}

func newCache(size int) *remembered {
	return &remembered{
		ids:      cache.New[core.SessionID](size),
		sessions: cache.New[*entry](size),
	}
}

// generation is taken before the store is read or written, and given to add.
func (c *remembered) generation() uint64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.drops.Load()
}

// byKey returns nil where the cache does not know.
func (c *remembered) byKey(t core.TenantID, hash [32]byte) *entry {
	id, ok := c.ids.Get(keyRef(t, hash))
	if !ok {
		return nil
	}
	return c.byID(t, id)
}

func (c *remembered) byID(t core.TenantID, id core.SessionID) *entry {
	e, _ := c.sessions.Get(idRef(t, id))
	return e
}

// add keeps a session that was read or written after generation was taken, and returns
// its entry: the one already there, if another load was first. Where something
// was dropped meanwhile the entry is not kept.
func (c *remembered) add(generation uint64, t core.TenantID, hash [32]byte, s *core.Session) *entry {
	e := c.addByID(generation, t, s)
	c.ids.Set(keyRef(t, hash), s.ID)
	return e
}

func (c *remembered) addByID(generation uint64, t core.TenantID, s *core.Session) *entry {
	e := &entry{}
	e.session.Store(s)
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.drops.Load() != generation {
		return e
	}
	return c.sessions.Keep(idRef(t, s.ID), e)
}

func (c *remembered) drop(t core.TenantID, ids []core.SessionID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drops.Add(1)
	for _, id := range ids {
		c.sessions.Drop(idRef(t, id))
	}
}

// dropUser walks all that is cached: it is for what happens rarely.
func (c *remembered) dropUser(t core.TenantID, u core.UserID, keep core.SessionID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drops.Add(1)
	for ref, e := range c.sessions.All() {
		s := e.session.Load()
		if ref.Tenant == t && s.User == u && (keep == "" || s.ID != keep && s.Parent != keep) {
			c.sessions.Drop(ref)
		}
	}
}

// dropAll walks all that is cached, too.
func (c *remembered) dropAll(t core.TenantID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drops.Add(1)
	for ref := range c.sessions.All() {
		if ref.Tenant == t {
			c.sessions.Drop(ref)
		}
	}
}
