package keys

import (
	"context"
	"fmt"
	"time"

	"github.com/postern-sso/postern/core"
)

type leftKey struct {
	tenant   core.TenantID
	provider core.ProviderID
}

// left are the keys that a provider signed with before it was given another key pair.
type left struct {
	keys []lived
	read time.Time
}

// Left returns the keys that a provider signed with before it was given another key
// pair, as long as a token of them may be valid. fresh asks past what is cached, as
// Reread does.
func (r *Ring) Left(ctx context.Context, t core.TenantID, provider core.ProviderID, fresh bool) ([]*Key, error) {
	at, age := leftKey{t, provider}, recheck
	if fresh {
		age = time.Second
	}
	now := r.Now()
	r.mu.Lock()
	entry, ok := r.left[at]
	r.mu.Unlock()
	if since := now.Sub(entry.read); !ok || since < 0 || since >= age {
		former, err := r.Store.FormerKeys(ctx, t, provider)
		if err != nil {
			return nil, fmt.Errorf("read former keys: %w", err)
		}
		entry = left{read: now}
		for i := range former {
			key, err := Parse(&core.KeyPair{Certificate: former[i].Certificate})
			if err != nil {
				return nil, fmt.Errorf("parse a former key: %w", err)
			}
			entry.keys = append(entry.keys, lived{key: key, verifiesUntil: former[i].VerifiesUntil})
		}
		r.mu.Lock()
		if r.left == nil || len(r.left) > maxLeft {
			r.left = make(map[leftKey]left)
		}
		r.left[at] = entry
		r.mu.Unlock()
	}
	var out []*Key
	for i := range entry.keys {
		if now.Before(entry.keys[i].verifiesUntil) {
			out = append(out, entry.keys[i].key)
		}
	}
	return out, nil
}

// maxLeft bounds what is remembered of providers: most of them left nothing, and it is
// cheap to read again.
const maxLeft = 100_000

// DropLeft forgets what is remembered of a provider.
func (r *Ring) DropLeft(t core.TenantID, provider core.ProviderID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.left, leftKey{t, provider})
}
