package mediastore_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/media"
	"github.com/postern-sso/postern/storage/mediastore"
	"github.com/postern-sso/postern/storage/storagetest"
)

func TestDir(t *testing.T) {
	storagetest.TestMedia(t, func(t *testing.T) media.Store {
		return &mediastore.Dir{Path: filepath.Join(t.TempDir(), "not", "yet")}
	})
}

// Files lie where `aws s3 sync /media s3://bucket/media` looks for them, and those that it
// brought are there.
func TestDirLayout(t *testing.T) {
	dir := t.TempDir()
	d := &mediastore.Dir{Path: dir}
	if err := d.Put(t.Context(), "t_example", "application-icons/a.png", strings.NewReader("png")); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "t_example", "application-icons", "a.png")); err != nil || string(b) != "png" {
		t.Errorf("%q, %v", b, err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "public", "application-icons"), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "public", "application-icons", "b.png"), []byte("synced"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := d.Open(t.Context(), core.DefaultTenant, "application-icons/b.png")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, ok := f.ReadSeekCloser.(*os.File); !ok {
		t.Errorf("a %T cannot be sent by the kernel", f.ReadSeekCloser)
	}
	for _, c := range []struct{ path, want string }{{"t_example", "drwx------"}, {"t_example/application-icons/a.png", "-rw-------"}} {
		if s, err := os.Stat(filepath.Join(dir, c.path)); err != nil || s.Mode().String() != c.want && runtime.GOOS != "windows" {
			t.Errorf("%s: %v, %v", c.path, s.Mode(), err)
		}
	}
}

// M-01: no symbolic link leads out of a tenant's folder, and nothing but files is opened. The
// control reads through the same links without os.Root.
func TestDirLinks(t *testing.T) {
	dir := t.TempDir()
	d := &mediastore.Dir{Path: filepath.Join(dir, "media")}
	for tenant, content := range map[core.TenantID]string{"t_a": "A's", "t_b": "B's"} {
		if err := d.Put(t.Context(), tenant, "own.png", strings.NewReader(content)); err != nil {
			t.Fatal(err)
		}
	}
	outside := filepath.Join(dir, "outside")
	if err := os.WriteFile(outside, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	a := filepath.Join(dir, "media", "t_a")
	for name, to := range map[string]string{
		"absolute": outside, "relative": "../../outside", "neighbour": "../t_b/own.png", "folder": "../t_b", "passwd": "/etc/passwd",
		"loop": "loop", "dead": "nothing", "../t_c": "t_b",
	} {
		if err := os.Symlink(to, filepath.Join(a, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("own.png", filepath.Join(a, "inside")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(a, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"absolute", "relative", "neighbour", "folder/own.png", "passwd"} {
		if b, err := os.ReadFile(filepath.Join(a, name)); err != nil || len(b) == 0 {
			t.Errorf("control: %s leads nowhere: %v", name, err)
		}
	}
	for _, name := range []string{"absolute", "relative", "neighbour", "folder/own.png", "folder", "passwd", "loop", "dead", "pipe"} {
		if f, err := d.Open(t.Context(), "t_a", name); !errors.Is(err, core.ErrNotFound) || errors.Is(err, core.ErrUnavailable) {
			t.Errorf("%s: %v, %v", name, f, err)
		}
	}
	if _, err := d.Open(t.Context(), "t_c", "own.png"); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("a tenant's folder that is a link: %v", err)
	}
	f, err := d.Open(t.Context(), "t_a", "inside")
	if err != nil {
		t.Errorf("a link within the folder: %v", err)
	} else if err := f.Close(); err != nil {
		t.Error(err)
	}
	if err := d.Put(t.Context(), "t_a", "folder/own.png", strings.NewReader("A was here")); err == nil {
		t.Error("A writes into B's folder")
	}
	if err := d.Delete(t.Context(), "t_a", "folder/own.png"); err == nil {
		t.Error("A deletes B's file")
	}
	if err := d.Put(t.Context(), "t_a", "absolute", strings.NewReader("A was here")); err != nil { // takes the link's place
		t.Error(err)
	}
	listed := ""
	if err := d.List(t.Context(), "t_a", func(i media.Info) error { listed += i.Name + " "; return nil }); err != nil || listed != "absolute own.png " {
		t.Errorf("listed %q, %v", listed, err)
	}
	if err := d.DeleteAll(t.Context(), "t_a"); err != nil {
		t.Fatal(err)
	}
	if err := d.DeleteAll(t.Context(), "t_c"); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{outside: "secret", filepath.Join(dir, "media", "t_b", "own.png"): "B's"} {
		if b, err := os.ReadFile(path); err != nil || string(b) != want {
			t.Errorf("%s holds %q, %v", path, b, err)
		}
	}
}

// What a crash leaves half written is seen by nobody, and goes.
func TestDirLeftovers(t *testing.T) {
	dir := t.TempDir()
	d := &mediastore.Dir{Path: dir}
	left := filepath.Join(dir, "public", ".uploads")
	if err := os.MkdirAll(left, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, age := range map[string]time.Duration{"old": 2 * time.Hour, "new": 0} {
		path := filepath.Join(left, name)
		if err := os.WriteFile(path, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(-age)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	err := d.List(t.Context(), core.DefaultTenant, func(i media.Info) error { t.Errorf("listed %s", i.Name); return nil })
	if err != nil {
		t.Error(err)
	}
	if err := d.Put(t.Context(), core.DefaultTenant, "a", strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	rest, err := os.ReadDir(left)
	if err != nil || len(rest) != 1 || rest[0].Name() != "new" {
		t.Errorf("there are %v, %v", rest, err)
	}
}

// A directory that cannot be used is no directory without files.
func TestDirUnavailable(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "media")
	if err := os.WriteFile(dir, nil, 0o600); err != nil { // a file stands in its place
		t.Fatal(err)
	}
	d := &mediastore.Dir{Path: dir}
	if err := d.Put(t.Context(), core.DefaultTenant, "a", strings.NewReader("x")); !errors.Is(err, core.ErrUnavailable) {
		t.Errorf("put: %v", err)
	}
	if _, err := d.Open(t.Context(), core.DefaultTenant, "a"); !errors.Is(err, core.ErrUnavailable) {
		t.Errorf("open: %v", err)
	}
	if err := d.List(t.Context(), core.DefaultTenant, func(media.Info) error { return nil }); !errors.Is(err, core.ErrUnavailable) {
		t.Errorf("list: %v", err)
	}
	if err := d.DeleteAll(t.Context(), "t_a"); !errors.Is(err, core.ErrUnavailable) {
		t.Errorf("delete all: %v", err)
	}
}

// A folder that another takes the place of, or a link, or nothing, is read no more, although it was kept open.
func TestDirReplaced(t *testing.T) {
	dir := t.TempDir()
	d := &mediastore.Dir{Path: dir}
	read := func() string {
		t.Helper()
		f, err := d.Open(t.Context(), "t_a", "x")
		if errors.Is(err, core.ErrNotFound) {
			return "nothing"
		}
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		b, err := io.ReadAll(f)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for _, content := range []string{"first", "second"} {
		if err := d.Put(t.Context(), "t_a", "x", strings.NewReader(content)); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if got := read(); got != content {
				t.Errorf("%q, want %q", got, content)
			}
		}
		if err := os.Rename(filepath.Join(dir, "t_a"), filepath.Join(dir, content)); err != nil {
			t.Fatal(err)
		}
		if got := read(); got != "nothing" {
			t.Errorf("the folder is elsewhere, and there is %q", got)
		}
	}
	if err := os.Symlink("second", filepath.Join(dir, "t_a")); err != nil {
		t.Fatal(err)
	}
	if got := read(); got != "nothing" {
		t.Errorf("a link leads to %q", got)
	}
}
