package keys_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-sso/postern/core/keys"
)

// A key of the stock is a pair as Generate makes one, and is given once.
func TestStock(t *testing.T) {
	var made atomic.Int64
	s := &keys.Stock{}
	s.GenerateBy(func() (crypto.Signer, error) {
		made.Add(1)
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	})
	seen := map[string]bool{}
	take := func() {
		t.Helper()
		p, err := s.Pair("name", time.Hour, clock())
		if err != nil || p.Name != "name" || !p.Generated || seen[string(p.PrivateKey)] {
			t.Fatalf("%+v, %v", p, err)
		}
		seen[string(p.PrivateKey)] = true
	}
	take()
	if n := made.Load(); n != 1 {
		t.Errorf("%d keys were made, and one was asked for", n)
	}
	<-s.Keep(true)
	if n := made.Load(); n != 2 {
		t.Errorf("%d keys were made, and one is to be ready", n)
	}
	take()
	if n := made.Load(); n != 2 {
		t.Errorf("%d keys were made: the one in stock was not taken", n)
	}
	s.Fill()
	s.Fill()
	<-s.Keep(true)
	if n := made.Load(); n != 3 {
		t.Errorf("%d keys were made, and one was taken", n)
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			s.Fill()
			p, err := s.Pair("name", time.Hour, clock())
			mu.Lock()
			defer mu.Unlock()
			if err != nil || seen[string(p.PrivateKey)] {
				t.Error("a key was given twice", err)
				return
			}
			seen[string(p.PrivateKey)] = true
		})
	}
	wg.Wait()
	<-s.Keep(true)
	before := made.Load()
	if s.Keep(false) != nil {
		t.Error("there is something to wait for")
	}
	s.Fill()
	take() // made anew: what was in stock is forgotten
	if n := made.Load(); n != before+1 {
		t.Errorf("%d keys were made for one", n-before)
	}
}

// A key that could not be made is an error once.
func TestStockFails(t *testing.T) {
	failing := errors.New("no randomness")
	var fails atomic.Bool
	s := &keys.Stock{}
	s.GenerateBy(func() (crypto.Signer, error) {
		if fails.Load() {
			return nil, failing
		}
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	})
	fails.Store(true)
	<-s.Keep(true)
	fails.Store(false)
	if _, err := s.Pair("name", time.Hour, clock()); !errors.Is(err, failing) {
		t.Errorf("got %v", err)
	}
	if _, err := s.Pair("name", time.Hour, clock()); err != nil {
		t.Error(err)
	}
}

func TestStockMakesRSA(t *testing.T) {
	pair, err := new(keys.Stock).Pair("name", time.Hour, clock())
	if err != nil {
		t.Fatal(err)
	}
	if k, err := keys.Parse(pair); err != nil || k.Algorithm != "RS256" {
		t.Errorf("%+v, %v", k, err)
	}
}
