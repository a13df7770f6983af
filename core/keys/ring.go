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
	left map[leftKey]left
}

type ringKey struct {
	tenant core.TenantID
	id     core.KeyPairID
}

type ringEntry struct {
	keys []lived // the pair's own first, then those that it replaced
	read time.Time
}

// lived is a key and the times of its life. Zero times are none: it began to sign
// with the pair, and goes on.
type lived struct {
	key                                  *Key
	certificate                          string
	private                              core.Secret
	signsFrom, signsUntil, verifiesUntil time.Time
}

// Set is what a key pair is at one moment.
type Set struct {
	// Signer signs, and is what a client's tokens are encrypted to.
	Signer *Key
	// Published are all keys that verify: the signer, the one that will sign next,
	// and those that signed tokens which have not expired.
	Published []*Key
}

// ByID finds a published key by its kid, or nil.
func (s *Set) ByID(kid string) *Key {
	for _, k := range s.Published {
		if k.KID == kid {
			return k
		}
	}
	return nil
}

// Key returns the key that signs now. A pair that does not exist is
// core.ErrNotFound; one that cannot be parsed is an error that says why.
func (r *Ring) Key(ctx context.Context, t core.TenantID, id core.KeyPairID) (*Key, error) {
	s, err := r.Set(ctx, t, id)
	if err != nil {
		return nil, err
	}
	return s.Signer, nil
}

// Set returns all keys of a pair that count now. Its errors are those of Key.
func (r *Ring) Set(ctx context.Context, t core.TenantID, id core.KeyPairID) (*Set, error) {
	entry, err := r.entry(ctx, t, id, recheck)
	if err != nil {
		return nil, err
	}
	return setAt(entry.keys, r.Now()), nil
}

// Reread is Set past what is cached, for a token with a kid that is not in it: another
// node may know more. The row is read at most once a second, whoever asks.
func (r *Ring) Reread(ctx context.Context, t core.TenantID, id core.KeyPairID) (*Set, error) {
	entry, err := r.entry(ctx, t, id, time.Second)
	if err != nil {
		return nil, err
	}
	return setAt(entry.keys, r.Now()), nil
}

// setAt is what the keys are at a time. The newest that may sign does.
func setAt(keys []lived, now time.Time) *Set {
	s := &Set{Published: make([]*Key, 0, len(keys))}
	var next []*Key
	for i := range keys {
		k := &keys[i]
		switch {
		case !k.verifiesUntil.IsZero() && !now.Before(k.verifiesUntil):
			// Its last token has expired.
		case s.Signer != nil:
			s.Published = append(s.Published, k.key)
		case now.Before(k.signsFrom) && i+1 < len(keys), i > 0 && k.key.Signer == nil:
			next = append(next, k.key)
		default:
			s.Signer = k.key
			s.Published = append(append(s.Published, k.key), next...)
		}
	}
	if s.Signer == nil { // a clock that is far behind: what signed then is no longer held
		s.Signer, s.Published = keys[0].key, next
	}
	return s
}

func (r *Ring) entry(ctx context.Context, t core.TenantID, id core.KeyPairID, fresh time.Duration) (ringEntry, error) {
	at := ringKey{t, id}
	r.mu.Lock()
	entry, ok := r.keys[at]
	r.mu.Unlock()
	now := r.Now()
	if age := now.Sub(entry.read); ok && age >= 0 && age < fresh {
		return entry, nil
	}
	kp, err := r.Store.KeyPair(ctx, t, id)
	if err != nil {
		r.Drop(t, id)
		return ringEntry{}, fmt.Errorf("read key pair: %w", err)
	}
	fetched := ringEntry{read: now}
	if fetched.keys, err = live(kp, entry.keys); err != nil {
		r.Drop(t, id)
		return ringEntry{}, fmt.Errorf("parse key pair %q: %w", kp.Name, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.keys == nil {
		r.keys = make(map[ringKey]ringEntry)
	}
	r.keys[at] = fetched
	return fetched, nil
}

// live reads the keys of a pair. What was parsed before is not parsed again.
func live(kp *core.KeyPair, before []lived) ([]lived, error) {
	out := make([]lived, 0, 1+len(kp.Former))
	add := func(l lived) error {
		for i := range before {
			if b := &before[i]; b.certificate == l.certificate && b.private == l.private {
				l.key = b.key
			}
		}
		if l.key == nil {
			var err error
			if l.key, err = Parse(&core.KeyPair{Certificate: l.certificate, PrivateKey: l.private}); err != nil {
				return err
			}
		}
		out = append(out, l)
		return nil
	}
	if err := add(lived{certificate: kp.Certificate, private: kp.PrivateKey, signsFrom: kp.SignsFrom}); err != nil {
		return nil, err
	}
	for i := range kp.Former {
		f := &kp.Former[i]
		l := lived{certificate: f.Certificate, private: f.PrivateKey, signsUntil: f.SignsUntil, verifiesUntil: f.VerifiesUntil}
		if i+1 < len(kp.Former) {
			l.signsFrom = kp.Former[i+1].SignsUntil
		}
		if err := add(l); err != nil {
			return nil, fmt.Errorf("a former key: %w", err)
		}
	}
	return out, nil
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
	for at := range r.left {
		if at.tenant == t {
			delete(r.left, at)
		}
	}
}
