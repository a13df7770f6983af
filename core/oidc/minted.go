package oidc

import (
	"maps"
	"sync"
	"time"
)

// maxMinted bounds how many tokens are remembered.
const maxMinted = 4096

// minted remembers the access tokens that mappings made for userinfo: a client may ask that
// without end, and each of them has a grant. One is given again for the first half of its
// time; its grant may have been revoked since, as with a token that a client keeps.
type minted struct {
	mu    sync.Mutex
	byKey map[string]mintedToken
}

type mintedToken struct {
	token string
	until time.Time
}

func (m *minted) get(key string, now time.Time) (string, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t, ok := m.byKey[key]
	return t.token, ok && now.Before(t.until)
}

func (m *minted) put(key, token string, until, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.byKey) >= maxMinted {
		maps.DeleteFunc(m.byKey, func(_ string, t mintedToken) bool { return !now.Before(t.until) })
	}
	if len(m.byKey) >= maxMinted || m.byKey == nil {
		m.byKey = map[string]mintedToken{}
	}
	m.byKey[key] = mintedToken{token, until}
}
