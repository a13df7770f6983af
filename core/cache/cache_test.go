package cache

import (
	"strconv"
	"sync"
	"testing"

	"github.com/postern-sso/postern/core"
)

// Two tenants' things of one name, two kinds, and an ID and a hash are four things.
func TestKeysAreApart(t *testing.T) {
	c := New[string](10)
	keys := []Key{
		{Tenant: "a", ID: "x"}, {Tenant: "b", ID: "x"}, {Tenant: "a", Kind: 1, ID: "x"}, {Tenant: "a", Hash: [32]byte{'x'}},
	}
	for i, k := range keys {
		c.Set(k, strconv.Itoa(i))
	}
	for i, k := range keys {
		if v, ok := c.Get(k); !ok || v != strconv.Itoa(i) {
			t.Errorf("%v: %q, %v", k, v, ok)
		}
	}
	c.Drop(keys[0])
	if v, ok := c.Get(keys[0]); ok || v != "" {
		t.Errorf("dropped, and there: %q", v)
	}
	left := map[Key]string{}
	for k, v := range c.All() {
		left[k] = v
	}
	if len(left) != 3 || left[keys[1]] != "1" {
		t.Errorf("left: %v", left)
	}
	for range c.All() {
		break // and the walk ends
	}
}

// Of many that keep a value at once, all get the first one's.
func TestTheFirstIsKept(t *testing.T) {
	c := New[*int](10)
	k := Key{Tenant: core.DefaultTenant, ID: "x"}
	got := make([]*int, 50)
	var all sync.WaitGroup
	for i := range got {
		all.Go(func() { got[i] = c.Keep(k, &i) })
	}
	all.Wait()
	there, _ := c.Get(k)
	for i, v := range got {
		if v != there {
			t.Errorf("%d got another", i)
		}
	}
}

// It never holds much more than it may.
func TestSizeIsBounded(t *testing.T) {
	c := New[int](100)
	for i := range 10_000 {
		c.Set(Key{ID: strconv.Itoa(i)}, i)
	}
	c.values.CleanUp()
	n := 0
	for range c.All() {
		n++
	}
	if n > 100 || n < 50 {
		t.Errorf("%d of at most 100", n)
	}
}
