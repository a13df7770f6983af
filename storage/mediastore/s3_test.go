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
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/media"
	"github.com/postern-sso/postern/storage/mediastore"
	"github.com/postern-sso/postern/storage/storagetest"
)

func s3Of(t testing.TB, m *storagetest.MinIO, change func(*mediastore.S3Options)) *mediastore.S3 {
	t.Helper()
	o := mediastore.S3Options{
		Endpoint: "http://" + m.Addr, AccessKey: storagetest.MinIOUser, SecretKey: storagetest.MinIOPassword, Cache: filepath.Join(t.TempDir(), "not", "yet"),
	}
	if change != nil {
		change(&o)
	}
	if o.Bucket == "" {
		o.Bucket = m.Bucket()
	}
	s, err := mediastore.NewS3(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestS3(t *testing.T) {
	m := storagetest.StartMinIO(t)
	storagetest.Ran(t, "minio-media")
	storagetest.TestMedia(t, func(t *testing.T) media.Store { return s3Of(t, m, nil) })
}

// M-10: keys are those that `aws s3 sync /media s3://bucket/media` makes, and what an object is said to be
// is what it is.
func TestS3Layout(t *testing.T) {
	m := storagetest.StartMinIO(t)
	bucket := m.Bucket()
	s := s3Of(t, m, func(o *mediastore.S3Options) { o.Bucket = bucket })
	for name, c := range map[string]struct{ content, kind string }{
		"application-icons/a.svg": {"<svg></svg>", "image/svg+xml"},
		"b.png":                   {"<script>alert(1)</script>", "application/octet-stream"},
		"c.html":                  {"<html></html>", "application/octet-stream"},
	} {
		if err := s.Put(t.Context(), "t_example", name, strings.NewReader(c.content)); err != nil {
			t.Fatal(err)
		}
		o, err := m.Client().StatObject(t.Context(), bucket, "media/t_example/"+name, minio.StatObjectOptions{})
		if err != nil || o.ContentType != c.kind || o.Size != int64(len(c.content)) {
			t.Errorf("%s is %s of %d bytes, %v", name, o.ContentType, o.Size, err)
		}
	}
	// What nobody could have put is not listed, and goes with the tenant.
	for _, key := range []string{"media/t_example/ä b+c?d#e%2f&<x>", "media/t_example/.hidden"} {
		if _, err := m.Client().PutObject(t.Context(), bucket, key, strings.NewReader("x"), 1, minio.PutObjectOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	if err := s.List(t.Context(), "t_example", func(media.Info) error { n++; return nil }); err != nil || n != 3 {
		t.Errorf("%d are listed, %v", n, err)
	}
	if err := s.DeleteAll(t.Context(), "t_example"); err != nil {
		t.Error(err)
	}
	for o := range m.Client().ListObjects(t.Context(), bucket, minio.ListObjectsOptions{Recursive: true}) {
		t.Errorf("there is still %s, %v", o.Key, o.Err)
	}
}

// A list has as many pages as it needs.
func TestS3Pages(t *testing.T) {
	m := storagetest.StartMinIO(t)
	s := s3Of(t, m, nil)
	mediastore.Page(s, "3")
	for i := range 10 {
		if err := s.Put(t.Context(), "t_a", fmt.Sprint("n/", i), strings.NewReader("")); err != nil {
			t.Fatal(err)
		}
	}
	asked := mediastore.Asked(s)
	seen := map[string]bool{}
	if err := s.List(t.Context(), "t_a", func(i media.Info) error { seen[i.Name] = true; return nil }); err != nil || len(seen) != 10 {
		t.Errorf("%d are listed, %v", len(seen), err)
	}
	if n := mediastore.Asked(s) - asked; n != 4 {
		t.Errorf("it took %d pages", n)
	}
	if err := s.DeleteAll(t.Context(), "t_a"); err != nil {
		t.Error(err)
	}
	if err := s.List(t.Context(), "t_a", func(i media.Info) error { t.Errorf("there is still %s", i.Name); return nil }); err != nil {
		t.Error(err)
	}
}

// A bucket of another region is found, and one that is not there is no bucket without files.
func TestS3Wrong(t *testing.T) {
	m := storagetest.StartMinIO(t, "MINIO_REGION=eu-central-7")
	s := s3Of(t, m, nil)
	if err := s.Put(t.Context(), "t_a", "a", strings.NewReader("x")); err != nil {
		t.Errorf("the region is not learned: %v", err)
	}
	for what, change := range map[string]func(*mediastore.S3Options){
		"region": func(o *mediastore.S3Options) { o.Region = "us-east-1" },
		"bucket": func(o *mediastore.S3Options) { o.Bucket = "not-there" },
		"secret": func(o *mediastore.S3Options) { o.SecretKey = "wrong-wrong-wrong" },
		"key":    func(o *mediastore.S3Options) { o.AccessKey = "wrong-wrong-wrong" },
	} {
		s := s3Of(t, m, change)
		err := s.Put(t.Context(), "t_a", "a", strings.NewReader("x"))
		_, got := s.Open(t.Context(), "t_a", "a")
		for _, err := range []error{err, got, s.List(t.Context(), "t_a", nil)} {
			if !errors.Is(err, core.ErrUnavailable) || errors.Is(err, core.ErrNotFound) || strings.Contains(err.Error(), storagetest.MinIOPassword) {
				t.Errorf("%s: %v", what, err)
			}
		}
	}
}

// L-11: a store that is stopped or hangs costs nobody more than its first answer's time, and what
// was fetched is given on; when it is back, so are the files.
func TestS3Away(t *testing.T) {
	m := storagetest.StartMinIO(t)
	s := s3Of(t, m, nil)
	read := func(name string) (string, error) {
		f, err := s.Open(t.Context(), "t_a", name)
		if err != nil {
			return "", err
		}
		b, err := io.ReadAll(f)
		return string(b), errors.Join(err, f.Close())
	}
	back := func(content string) {
		t.Helper()
		var err error
		for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
			if err = s.Put(t.Context(), "t_a", "back", strings.NewReader(content)); err == nil {
				break
			}
		}
		if got, rerr := read("back"); got != content || rerr != nil {
			t.Errorf("it is back, and there is %q, %v, %v", got, err, rerr)
		}
	}
	for _, name := range []string{"cached", "other"} {
		if err := s.Put(t.Context(), "t_a", name, strings.NewReader(name)); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := read("cached"); got != "cached" {
		t.Fatalf("%q, %v", got, err)
	}
	mediastore.Age(s)
	for what, f := range map[string][2]func(){
		"stopped": {m.Stop, m.Start},
		"hanging": {m.Hang, m.Continue},
	} {
		f[0]()
		if _, err := read("other"); !errors.Is(err, core.ErrUnavailable) {
			t.Errorf("%s: %v", what, err)
		}
		asked := mediastore.Asked(s)
		var wg sync.WaitGroup
		for range 500 {
			wg.Go(func() {
				if got, err := read("cached"); got != "cached" {
					t.Errorf("%s: what is here is %q, %v", what, got, err)
				}
				if _, err := read("other"); !errors.Is(err, core.ErrUnavailable) {
					t.Errorf("%s: %v", what, err)
				}
				if err := s.Put(t.Context(), "t_a", "x", strings.NewReader("x")); !errors.Is(err, core.ErrUnavailable) {
					t.Errorf("%s: put: %v", what, err)
				}
			})
		}
		wg.Wait()
		if n := mediastore.Asked(s) - asked; n > 30 {
			t.Errorf("%s: the store was asked %d times meanwhile", what, n)
		}
		f[1]()
		back(what)
	}
}

// L-11: a store that says SlowDown is asked once more, and then left alone until it is well again. The control is one that
// refuses single files: the next one is asked for.
func TestS3SlowDown(t *testing.T) {
	s, err := mediastore.NewS3(mediastore.S3Options{Endpoint: "http://s3.provider", Bucket: "pictures", Region: "us-east-1", AccessKey: "AKID", SecretKey: "secret", Cache: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	var says atomic.Pointer[http.Response]
	mediastore.Answer(s, func(*http.Request) *http.Response {
		a := says.Load()
		return answer(a.StatusCode, "<Error><Code>"+a.Status+"</Code></Error>", "ETag", `"1"`)
	})
	try := func(status int, code string) (asked int64, err error) {
		says.Store(&http.Response{StatusCode: status, Status: code})
		before := mediastore.Asked(s)
		for i := range 50 {
			var f *media.File
			if f, err = s.Open(t.Context(), "t_a", fmt.Sprint(code, i)); err == nil {
				err = f.Close()
			}
		}
		return mediastore.Asked(s) - before, err
	}
	if asked, err := try(http.StatusForbidden, "AccessDenied"); asked != 50 || !errors.Is(err, core.ErrUnavailable) {
		t.Errorf("control: refused, it was asked %d times: %v", asked, err)
	}
	if asked, err := try(http.StatusServiceUnavailable, "SlowDown"); asked < 2 || asked > 10 || !errors.Is(err, core.ErrUnavailable) {
		t.Errorf("it was asked %d times: %v", asked, err)
	}
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, err := try(http.StatusOK, "fine"); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("it is back, and nobody asks it")
		}
	}
}

// Many readers cost one fetch, and what is changed here is seen at once.
func TestS3Together(t *testing.T) {
	m := storagetest.StartMinIO(t)
	s := s3Of(t, m, nil)
	for round := range 3 {
		content := strings.Repeat(fmt.Sprint(round), 100_000+round)
		if err := s.Put(t.Context(), "t_a", "a", strings.NewReader(content)); err != nil {
			t.Fatal(err)
		}
		asked := mediastore.Asked(s)
		var wg sync.WaitGroup
		var wrong atomic.Int32
		for range 100 {
			wg.Go(func() {
				f, err := s.Open(t.Context(), "t_a", "a")
				if err != nil {
					t.Error(err)
					return
				}
				defer f.Close()
				if _, ok := f.ReadSeekCloser.(*os.File); !ok {
					t.Errorf("a %T cannot be sent by the kernel", f.ReadSeekCloser)
				}
				if b, err := io.ReadAll(f); err != nil || string(b) != content {
					wrong.Add(1)
				}
			})
		}
		wg.Wait()
		if n := mediastore.Asked(s) - asked; n != 1 || wrong.Load() != 0 {
			t.Errorf("%d fetches, %d read something else", n, wrong.Load())
		}
	}
	mediastore.Age(s) // the tag tells that it is the same still
	before := mediastore.Received(s)
	f, err := s.Open(t.Context(), "t_a", "a")
	if err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	if n := mediastore.Received(s) - before; n != 0 {
		t.Errorf("%d bytes were fetched again", n)
	}
}

// The cache keeps to its bound, and what an earlier process left goes.
func TestS3Cache(t *testing.T) {
	m := storagetest.StartMinIO(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "media-left"), []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := s3Of(t, m, func(o *mediastore.S3Options) { o.Cache, o.CacheSize = dir, 2500 })
	for i := range 6 {
		name := fmt.Sprint(i)
		if err := s.Put(t.Context(), "t_a", name, strings.NewReader(strings.Repeat(name, 1000))); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			f, err := s.Open(t.Context(), "t_a", name)
			if err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 2 {
		t.Errorf("there are %v, %v", left, err)
	}
	for _, e := range left { // somebody cleans up
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
			t.Error(err)
		}
	}
	f, err := s.Open(t.Context(), "t_a", "5")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

// M-11: redirects are not followed, which would take the signature along.
func TestS3Redirect(t *testing.T) {
	var asked atomic.Int32
	other := serve(t, func(http.ResponseWriter, *http.Request) { asked.Add(1) })
	first := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other+r.URL.Path, http.StatusTemporaryRedirect)
	})
	s, err := mediastore.NewS3(mediastore.S3Options{Endpoint: first, Bucket: "bucket", AccessKey: "a", SecretKey: "b", Cache: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Open(t.Context(), "t_a", "a"); !errors.Is(err, core.ErrUnavailable) || asked.Load() != 0 {
		t.Errorf("%v, asked %d times", err, asked.Load())
	}
}
