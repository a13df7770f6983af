package oidc

import (
	"crypto/sha256"
	"slices"
	"sync"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/keys"
)

// Bounds of what is remembered of verified tokens: how many, and the bytes of the claims of one.
const (
	maxVerified        = 4096
	maxVerifiedPayload = 4 << 10
)

// verified remembers whose signature was found good, and by which key: a client asks userinfo with one token
// again and again. It says no more than that. Whether the key still verifies is looked at each time, and so is
// all that the claims say.
type verified struct {
	mu   sync.Mutex
	kept map[verifiedKey]verifiedToken
}

type verifiedKey struct {
	tenant core.TenantID
	hash   [32]byte // of the whole token
}

type verifiedToken struct {
	key     *keys.Key // as the ring has it; one that is read anew is another
	payload []byte
}

// get returns the claims of a token that one of the keys was found to have signed, or nil.
func (v *verified) get(k verifiedKey, by []*keys.Key) []byte {
	v.mu.Lock()
	defer v.mu.Unlock()
	if t, ok := v.kept[k]; ok && slices.Contains(by, t.key) {
		return t.payload
	}
	return nil
}

func (v *verified) put(k verifiedKey, key *keys.Key, payload []byte) {
	if key == nil || len(payload) > maxVerifiedPayload {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.kept) >= maxVerified || v.kept == nil {
		v.kept = map[verifiedKey]verifiedToken{}
	}
	v.kept[k] = verifiedToken{key, payload}
}

func verifiedAs(t core.TenantID, token string) verifiedKey {
	return verifiedKey{t, sha256.Sum256([]byte(token))}
}
