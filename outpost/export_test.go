package outpost

import "github.com/maypok86/otter/v2"

// NewWatchedCache is a cache that tells of each person who was in it and leaves it.
func NewWatchedCache(left func()) *Cache {
	return &Cache{people: otter.Must(&otter.Options[personKey, *person]{
		MaximumSize: maxPeople, OnAtomicDeletion: func(otter.DeletionEvent[personKey, *person]) { left() },
	})}
}
