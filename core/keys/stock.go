package keys

import (
	"crypto"
	"sync"
	"time"

	"github.com/postern-sso/postern/core"
)

// Stock keeps an RSA key ready: to make one takes a tenth of a second and more, for which who makes
// a tenant need not wait. A key of which nothing becomes has signed nothing, is written nowhere, and
// is forgotten.
type Stock struct {
	mu   sync.Mutex
	keep bool
	next *stocked // ready or being made; nil: none

	generate func() (crypto.Signer, error) // tests only
}

// stocked is a key that is made in the background.
type stocked struct {
	done   chan struct{} // closed when what follows is set
	signer crypto.Signer
	err    error
}

// Keep says whether a key is kept ready from now on. What it gives is closed when the next one is;
// nil: none will be.
func (s *Stock) Keep(on bool) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keep = on
	if !on {
		s.next = nil
		return nil
	}
	s.fill()
	return s.next.done
}

// Fill makes one where one is kept and was taken. Whoever takes one does not: it would be in the way
// of what the key is for.
func (s *Stock) Fill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fill()
}

func (s *Stock) fill() {
	if s.keep && s.next == nil {
		s.next = s.begin()
	}
}

func (s *Stock) begin() *stocked {
	k := &stocked{done: make(chan struct{})}
	go func() {
		defer close(k.done)
		k.signer, k.err = s.make()
	}()
	return k
}

func (s *Stock) make() (crypto.Signer, error) {
	if s.generate != nil {
		return s.generate()
	}
	return generateKey("rsa")
}

// take gives a key to one caller: the one that is ready, or nearly so, else one that is made now.
func (s *Stock) take() (crypto.Signer, error) {
	s.mu.Lock()
	k := s.next
	s.next = nil
	s.mu.Unlock()
	if k == nil {
		return s.make()
	}
	<-k.done
	return k.signer, k.err
}

// Pair is Generate of an RSA key for no names, from the stock.
func (s *Stock) Pair(commonName string, validity time.Duration, now time.Time) (*core.KeyPair, error) {
	return certify(s.take, commonName, nil, validity, now)
}
