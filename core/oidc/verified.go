package oidc

import (
	"crypto/sha256"
	"slices"
	"sync"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/cache"
	"github.com/postern-sso/postern/core/keys"
)

// Bounds of what is remembered of verified tokens: how many, over all tenants, and the bytes of
// the claims of one.
const (
	maxVerified        = 4096
	maxVerifiedPayload = 4 << 10
)

// verified remembers whose signature was found good, and by which key: a client asks userinfo with one token
// again and again. It says no more than that. Whether the key still verifies is looked at each time, and so is
// all that the claims say.
type verified struct {
	once sync.Once
	kept *cache.Cache[verifiedToken]
}

type verifiedToken struct {
	key     *keys.Key // as the ring has it; one that is read anew is another
	payload []byte
}

func (v *verified) tokens() *cache.Cache[verifiedToken] {
	v.once.Do(func() { v.kept = cache.New[verifiedToken](maxVerified) })
	return v.kept
}

// get returns the claims of a token that one of the keys was found to have signed, or nil.
func (v *verified) get(k cache.Key, by []*keys.Key) []byte {
	if t, ok := v.tokens().Get(k); ok && slices.Contains(by, t.key) {
		return t.payload
	}
	return nil
}

func (v *verified) put(k cache.Key, key *keys.Key, payload []byte) {
	if key != nil && len(payload) <= maxVerifiedPayload {
		v.tokens().Set(k, verifiedToken{key, payload})
	}
}

// verifiedAs names a token: by the hash of all of it.
func verifiedAs(t core.TenantID, token string) cache.Key {
	return cache.Key{Tenant: t, Hash: sha256.Sum256([]byte(token))}
}
