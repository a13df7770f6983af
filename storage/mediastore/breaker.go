package mediastore

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/postern-sso/postern/core"
)

// probeEvery is how often at most a store that is away is asked whether it is back.
const probeEvery = time.Second

// breaker keeps callers from waiting for a store that is away: they are told so at once, while
// one goroutine asks whether it is back.
type breaker struct {
	places chan struct{} // taken by calls that are under way
	mu     sync.Mutex
	away   error // why; nil: it is not
	asking bool
	asked  time.Time
}

// enter waits for one of the places, where the store is not away. It is left with the function.
func (b *breaker) enter(ctx context.Context, probe func(context.Context) bool) (leave func(), err error) {
	if err := b.check(probe); err != nil {
		return nil, err
	}
	select {
	case b.places <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: too many calls to the store of files are under way", core.ErrUnavailable)
	}
	leave = func() { <-b.places }
	if err := b.check(probe); err != nil { // it went away meanwhile
		leave()
		return nil, err
	}
	return leave, nil
}

// check is why the store is away, and sees to it that somebody asks.
func (b *breaker) check(probe func(context.Context) bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.away == nil {
		return nil
	}
	if !b.asking && time.Since(b.asked) > probeEvery {
		b.asking = true
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), answerWait)
			defer cancel()
			back := probe(ctx)
			b.mu.Lock()
			defer b.mu.Unlock()
			b.asking, b.asked = false, time.Now()
			if back {
				b.away = nil
			}
		}()
	}
	return fmt.Errorf("%w: the store of files is away: %w", core.ErrUnavailable, b.away)
}

func (b *breaker) works() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.away = nil
}

func (b *breaker) fails(why error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.away, b.asked = why, time.Now()
}
