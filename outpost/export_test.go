package outpost

import "github.com/postern-sso/postern/core/cache"

// NewWatchedCache is a cache that tells of each person who was in it and leaves it.
func NewWatchedCache(left func()) *Cache {
	c := NewCache()
	c.people = cache.Watched[*person](maxPeople, func(cache.Key) { left() })
	return c
}
