// Package cache keeps in memory what was read, within a bound.
package cache

import (
	"iter"

	"github.com/maypok86/otter/v2"

	"github.com/postern-sso/postern/core"
)

// Key names one thing of a tenant: by an ID, or by a hash, and by what it is where
// one cache holds several kinds.
type Key struct {
	Tenant core.TenantID
	Kind   int
	ID     string
	Hash   [32]byte
}

// Cache holds up to a number of values, and lets go those that are asked for least.
// Nothing leaves it by time. It is for any number of goroutines.
//
// One type of key and of value below all of them keeps the binary small: each pair of
// types would bring the whole library's code once more, a third of a megabyte.
type Cache[V any] struct {
	values *otter.Cache[Key, any]
}

// New returns an empty one for at most size values.
func New[V any](size int) *Cache[V] { return Watched[V](size, nil) }

// Watched is a New one that calls left, unless it is nil, with each key as its value
// leaves: replaced, dropped or let go.
func Watched[V any](size int, left func(Key)) *Cache[V] {
	options := otter.Options[Key, any]{MaximumSize: size}
	if left != nil {
		options.OnAtomicDeletion = func(e otter.DeletionEvent[Key, any]) { left(e.Key) }
	}
	return &Cache[V]{otter.Must(&options)}
}

// Get returns what was set last.
func (c *Cache[V]) Get(k Key) (V, bool) {
	v, ok := c.values.GetIfPresent(k)
	if !ok {
		var none V
		return none, false
	}
	return v.(V), true
}

// Set puts a value in, in the place of another.
func (c *Cache[V]) Set(k Key, v V) { c.values.Set(k, v) }

// Keep puts a value in where there is none, and returns the one that is there now.
func (c *Cache[V]) Keep(k Key, v V) V {
	kept, _ := c.values.SetIfAbsent(k, v)
	return kept.(V)
}

// Drop removes one.
func (c *Cache[V]) Drop(k Key) { c.values.Invalidate(k) }

// All walks what is there, in no order. What changes meanwhile may be seen or not.
func (c *Cache[V]) All() iter.Seq2[Key, V] {
	return func(yield func(Key, V) bool) {
		for k, v := range c.values.All() {
			if !yield(k, v.(V)) {
				return
			}
		}
	}
}
