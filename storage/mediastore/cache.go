package mediastore

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/media"
)

const (
	// believed is how long a file is given without asking whether it is still the same.
	believed = 30 * time.Second
	// patience is how long whoever asks for a file that is in the cache waits for the store.
	patience = time.Second
	// cachedName begins the names of files in the cache.
	cachedName = "media-"
)

// errSame: the store has the same file still.
var errSame = errors.New("not modified")

// fileCache keeps files of a store on the disk, those that were asked for last, up to a number of
// bytes. It starts empty. What many ask for at once is fetched once. While the store is away, what is
// here is given as it is.
type fileCache struct {
	dir   string
	limit int64 // bytes; one file alone may be larger

	sweep   sync.Once
	mu      sync.Mutex
	files   map[string]*cachedFile
	flights map[string]*flight
	size    int64
	clock   uint64 // counts uses
}

type cachedFile struct {
	path    string
	info    media.Info
	checked time.Time
	used    uint64
	flight  *flight // that brought it or saw that it is the same
}

// flight is one fetch, and those who wait for it.
type flight struct {
	done    chan struct{}
	waiting int
	stale   bool // the file was changed meanwhile: for those who wait already, and nobody else
	kept    bool // path belongs to the cache
	ended   bool
	path    string
	info    media.Info
	err     error
}

type fetcher func(ctx context.Context, key, tag string, into *os.File) (media.Info, error)

// open gives a file that is its caller's alone.
func (c *fileCache) open(ctx context.Context, key string, fetch fetcher) (*os.File, media.Info, error) {
	var err error
	for range 3 { // somebody may remove a file before it is opened
		var f *os.File
		var i media.Info
		if f, i, err = c.attempt(ctx, key, fetch); !errors.Is(err, fs.ErrNotExist) {
			return f, i, err
		}
	}
	return nil, media.Info{}, &localError{err}
}

func (c *fileCache) attempt(ctx context.Context, key string, fetch fetcher) (*os.File, media.Info, error) {
	c.mu.Lock()
	have := c.files[key]
	if have != nil && time.Since(have.checked) < believed {
		defer c.mu.Unlock()
		return c.reopen(key, have)
	}
	fl := c.flights[key]
	if fl == nil {
		fl = &flight{done: make(chan struct{})}
		c.flights[key] = fl
		tag := ""
		if have != nil {
			tag = have.info.Tag
		}
		go c.fly(context.WithoutCancel(ctx), key, tag, fl, fetch)
	}
	fl.waiting++
	c.mu.Unlock()
	var late <-chan time.Time
	if have != nil {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		late = timer.C
	}
	err := error(nil)
	select {
	case <-fl.done:
		err = fl.err
	case <-late:
		err = core.ErrUnavailable
	case <-ctx.Done():
		err = ctx.Err()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.leave(fl)
	switch {
	case err == nil:
		f, err := os.Open(fl.path)
		return f, fl.info, err
	case errors.Is(err, core.ErrNotFound):
		return nil, media.Info{}, err
	case c.files[key] != nil: // the store is away
		return c.reopen(key, c.files[key])
	case errors.Is(err, errSame): // it was pushed out meanwhile
		return nil, media.Info{}, fs.ErrNotExist
	}
	return nil, media.Info{}, err
}

// reopen opens what is in the cache; where somebody removed it there, it is so no more.
func (c *fileCache) reopen(key string, have *cachedFile) (*os.File, media.Info, error) {
	f, err := os.Open(have.path)
	if err != nil {
		c.forget(key)
		return nil, media.Info{}, err
	}
	c.clock++
	have.used = c.clock
	return f, have.info, nil
}

// leave is one fewer who waits. The last takes what nobody keeps.
func (c *fileCache) leave(fl *flight) {
	fl.waiting--
	if fl.waiting == 0 && fl.ended && !fl.kept && fl.path != "" {
		_ = os.Remove(fl.path) // the next start tries again
	}
}

// fly fetches for all who wait; one who goes away takes it from nobody.
func (c *fileCache) fly(ctx context.Context, key, tag string, fl *flight, fetch fetcher) {
	into, err := c.temporary()
	var i media.Info
	if err == nil {
		i, err = fetch(ctx, key, tag, into)
		err = doing("fetch", errors.Join(err, into.Close()))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	defer close(fl.done)
	fl.info, fl.err, fl.ended = i, err, true
	if c.flights[key] == fl {
		delete(c.flights, key)
	}
	if into != nil {
		fl.path = into.Name()
	}
	have := c.files[key]
	switch {
	case errors.Is(err, errSame) && have != nil:
		_ = os.Remove(fl.path) // as in leave
		have.checked, have.flight = time.Now(), fl
		fl.path, fl.info, fl.err, fl.kept = have.path, have.info, nil, true
	case errors.Is(err, core.ErrNotFound):
		c.forget(key)
	case err == nil && !fl.stale:
		c.keep(key, &cachedFile{path: fl.path, info: i, checked: time.Now(), flight: fl})
		fl.kept = true
	}
	fl.waiting++
	c.leave(fl)
}

// keep puts a file into the cache, and out of it what was not asked for the longest.
func (c *fileCache) keep(key string, e *cachedFile) {
	c.forget(key)
	c.clock++
	e.used = c.clock
	c.files[key] = e
	c.size += e.info.Size
	for c.size > c.limit && len(c.files) > 1 {
		oldest := ""
		for k, f := range c.files {
			if oldest == "" || f.used < c.files[oldest].used {
				oldest = k
			}
		}
		c.forget(oldest)
	}
}

func (c *fileCache) forget(key string) {
	if e := c.files[key]; e != nil {
		delete(c.files, key)
		c.size -= e.info.Size
		if e.flight.waiting > 0 { // the last of them takes it
			e.flight.kept = false
			return
		}
		_ = os.Remove(e.path) // as in leave
	}
}

// drop forgets a file that was changed here, also one that is being fetched.
func (c *fileCache) drop(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forget(key)
	if fl := c.flights[key]; fl != nil {
		fl.stale = true
		delete(c.flights, key)
	}
}

// dropAll forgets all that begins so.
func (c *fileCache) dropAll(prefix string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key := range c.files {
		if strings.HasPrefix(key, prefix) {
			c.forget(key)
		}
	}
	for key, fl := range c.flights {
		if strings.HasPrefix(key, prefix) {
			fl.stale = true
			delete(c.flights, key)
		}
	}
}

// temporary makes a file to be filled. Before the first one, it removes what an earlier process left.
func (c *fileCache) temporary() (*os.File, error) {
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return nil, err
	}
	c.sweep.Do(func() {
		left, _ := os.ReadDir(c.dir) // what cannot be read is tried again at the next start
		for _, e := range left {
			if strings.HasPrefix(e.Name(), cachedName) {
				_ = os.Remove(filepath.Join(c.dir, e.Name())) // as above
			}
		}
	})
	return os.CreateTemp(c.dir, cachedName+"*")
}

// discard closes and removes what temporary made.
func discard(f *os.File) error {
	err := os.Remove(f.Name())
	if errors.Is(err, fs.ErrNotExist) { // another cache began in the same directory, and swept it
		err = nil
	}
	return errors.Join(f.Close(), err)
}
