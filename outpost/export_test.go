package outpost

import "github.com/postern-sso/postern/core/cache"

// NewWatchedCache is a cache that tells of each person who was in it and leaves it.
func NewWatchedCache(left func()) *Cache {
	return &Cache{people: cache.Watched[*person](maxPeople, func(cache.Key) { left() })}
}
