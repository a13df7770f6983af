package mediastore_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/postern-sso/postern/storage/mediastore"
)

// answering is a store whose bucket another function answers for.
func answering(t *testing.T, dir string, size int64, h http.HandlerFunc) *mediastore.S3 {
	t.Helper()
	s, err := mediastore.NewS3(mediastore.S3Options{Endpoint: serve(t, h), Bucket: "bucket", Region: "r", AccessKey: "a", SecretKey: "b", Cache: dir, CacheSize: size})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A cache that is smaller than what is asked for at once pushes out files before those who wait for
// them are there to open them: they get them all the same, also those that were only asked whether
// they are the same still, and nothing stays on the disk.
func TestSmallCache(t *testing.T) {
	var fetched, same atomic.Int32
	dir := t.TempDir()
	s := answering(t, dir, 1, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"e"`)
		if r.Header.Get("If-None-Match") != "" {
			same.Add(1)
			w.WriteHeader(http.StatusNotModified)
			return
		}
		fetched.Add(1)
		_, _ = io.WriteString(w, r.URL.Path)
	})
	read := func(name string) {
		f, err := s.Open(t.Context(), "t_a", name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		if b, err := io.ReadAll(f); err != nil || string(b) != "/bucket/media/t_a/"+name {
			t.Errorf("%s is %q, %v", name, b, err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	var wg sync.WaitGroup
	var next atomic.Int32
	const files = 400
	for range 8 {
		wg.Go(func() {
			for n := next.Add(1); n <= files; n = next.Add(1) {
				read(fmt.Sprint(n))
			}
		})
	}
	wg.Wait()
	if n := fetched.Load(); n != files {
		t.Errorf("%d files took %d fetches", files, n)
	}
	for round := range 60 {
		read("same")
		mediastore.Age(s)
		for i := range 8 {
			wg.Go(func() { read([]string{"same", fmt.Sprint(round, "-", i)}[i%2]) })
		}
		wg.Wait()
	}
	if same.Load() == 0 {
		t.Error("nothing was asked for again")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("there are %v, %v", left, err)
	}
}

// A disk that is full here says nothing against the store.
func TestFullDisk(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	_, err = io.Copy(mediastore.LocalWriter(full), struct{ io.Reader }{strings.NewReader("x")})
	if !errors.Is(err, syscall.ENOSPC) || mediastore.Passing(err) {
		t.Errorf("%v is taken for the store's own", err)
	}
}

// After a reload with other settings, two caches have one directory: the second one's sweep costs the
// first one its files, and nobody a request.
func TestSweptAway(t *testing.T) {
	dir := t.TempDir()
	ok := func(http.ResponseWriter, *http.Request) {}
	first := answering(t, dir, 1000, func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			t.Error(err)
		}
		spools, err := filepath.Glob(filepath.Join(dir, "media-*"))
		if err != nil || len(spools) != 1 {
			t.Errorf("there are %v, %v", spools, err)
		}
		f, err := answering(t, dir, 1000, ok).Open(r.Context(), "t_a", "other")
		if err != nil {
			t.Error(err)
			return
		}
		if _, err := os.Stat(spools[0]); !os.IsNotExist(err) {
			t.Errorf("the sweep left the spool: %v", err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := first.Put(t.Context(), "t_a", "a", strings.NewReader("x")); err != nil {
		t.Errorf("a file that the store has: %v", err)
	}
}
