package mediastore

import (
	"io"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
)

// Age makes the store ask for everything in its cache again.
func Age(s *S3) {
	s.cache.mu.Lock()
	defer s.cache.mu.Unlock()
	for _, f := range s.cache.files {
		f.checked = f.checked.Add(-believed)
	}
}

// LocalWriter is what a fetch writes with.
func LocalWriter(f *os.File) io.Writer { return &localWriter{f} }

// Passing reports whether an error is taken for the store's.
func Passing(err error) bool { return passing(err) }

// Page has lists come so many keys at a time.
func Page(s *S3, keys string) { s.page = keys }

// Answer has f answer what the store asks.
func Answer(s *S3, f func(*http.Request) *http.Response) {
	s.client = func(r *http.Request) (*http.Response, error) { return f(r), nil }
}

// KeysFrom has f answer whoever gives keys.
func KeysFrom(s *S3, f func(*http.Request) *http.Response) { s.keys.client.Transport = answers(f) }

type answers func(*http.Request) *http.Response

func (f answers) RoundTrip(r *http.Request) (*http.Response, error) { return f(r), nil }

type counted struct{ asked, received atomic.Int64 }

var counters sync.Map // of *S3

// counter counts from the first time it is asked for.
func counter(s *S3) *counted {
	c, old := counters.LoadOrStore(s, &counted{})
	n, _ := c.(*counted)
	if !old {
		send := s.client
		s.client = func(r *http.Request) (*http.Response, error) {
			n.asked.Add(1)
			a, err := send(r)
			if err == nil {
				a.Body = &countedBody{a.Body, n}
			}
			return a, err
		}
	}
	return n
}

type countedBody struct {
	io.ReadCloser
	n *counted
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.n.received.Add(int64(n))
	return n, err
}

// Asked is how many requests the store sent since it was first asked for.
func Asked(s *S3) int64 { return counter(s).asked.Load() }

// Received is how many bytes of bodies came.
func Received(s *S3) int64 { return counter(s).received.Load() }
