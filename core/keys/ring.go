package keys

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/postern-sso/postern/core"
)

// recheck is how long a cached key is used before its row is read again. Drop
// makes a change on this node seen at once; this bounds how long another node,
// or a change whose hint was lost, may go unseen.
const recheck = 30 * time.Second

// Ring keeps the keys of all tenants ready: to read a private key and make a
// signer costs more than to sign. Its zero value but for Store and Now is ready.
type Ring struct {
	Store Store
	Now   func() time.Time

	mu   sync.Mutex
	keys map[ringKey]ringEntry
}

type ringKey struct {
	tenant core.TenantID
	id     core.KeyPairID
}

type ringEntry struct {
	key         *Key
	certificate string
	private     core.Secret
	read        time.Time
}

// Key returns a key pair, parsed. One that does not exist is core.ErrNotFound;
// one that cannot be parsed is an error that says why.
func (r *Ring) Key(ctx context.Context, t core.TenantID, id core.KeyPairID) (*Key, error) {
	at := ringKey{t, id}
	r.mu.Lock()
	entry, ok := r.keys[at]
	r.mu.Unlock()
	now := r.Now()
	if age := now.Sub(entry.read); ok && age >= 0 && age < recheck {
		return entry.key, nil
	}
	kp, err := r.Store.KeyPair(ctx, t, id)
	if err != nil {
		r.Drop(t, id)
		return nil, fmt.Errorf("read key pair: %w", err)
	}
	if !ok || entry.certificate != kp.Certificate || entry.private != kp.PrivateKey {
		entry = ringEntry{certificate: kp.Certificate, private: kp.PrivateKey}
		if entry.key, err = Parse(kp); err != nil {
			r.Drop(t, id)
			return nil, fmt.Errorf("parse key pair %q: %w", kp.Name, err)
		}
	}
	entry.read = now
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.keys == nil {
		r.keys = make(map[ringKey]ringEntry)
	}
	r.keys[at] = entry
	return entry.key, nil
}

// Drop forgets a key that was changed or deleted. An empty id drops all keys of
// the tenant.
func (r *Ring) Drop(t core.TenantID, id core.KeyPairID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if id != "" {
		delete(r.keys, ringKey{t, id})
		return
	}
	for at := range r.keys {
		if at.tenant == t {
			delete(r.keys, at)
		}
	}
}
