package storagetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/media"
)

// TestMedia checks what core/media.Store promises. open gives an empty one, and closes it at
// the end of the test.
func TestMedia(t *testing.T, open func(t *testing.T) media.Store) {
	for name, f := range map[string]func(*mediaBench){
		"files":          keepMedia,
		"names":          nameMedia,
		"ranges":         seekMedia,
		"tenants":        mediaOfTenants,
		"all of one":     deleteAllMedia,
		"deleted, open":  deletedOpenMedia,
		"broken content": brokenMedia,
		"at once":        mediaAtOnce,
		"gone away":      mediaGoneAway,
	} {
		t.Run(name, func(t *testing.T) { f(&mediaBench{T: t, Store: open(t)}) })
	}
}

type mediaBench struct {
	*testing.T
	media.Store
}

func (b *mediaBench) put(t core.TenantID, name, content string) {
	b.Helper()
	if err := b.Put(b.Context(), t, name, strings.NewReader(content)); err != nil {
		b.Fatal(err)
	}
}

// holds checks what is under a name; "" for nothing.
func (b *mediaBench) holds(t core.TenantID, name, content string) {
	b.Helper()
	f, err := b.Open(b.Context(), t, name)
	if content == "" {
		if !errors.Is(err, core.ErrNotFound) {
			b.Errorf("%s/%s: %v, want that it is not there", t, name, err)
		}
		return
	}
	if err != nil {
		b.Errorf("%s/%s: %v", t, name, err)
		return
	}
	got, err := io.ReadAll(f)
	if err := errors.Join(err, f.Close()); err != nil || string(got) != content {
		b.Errorf("%s/%s holds %.40q, %v; want %.40q", t, name, got, err, content)
	}
	if f.Name != name || f.Size != int64(len(content)) || f.Tag == "" || time.Since(f.Modified).Abs() > time.Hour {
		b.Errorf("%s/%s is described as %+v", t, name, f.Info)
	}
}

func (b *mediaBench) names(t core.TenantID) []string {
	b.Helper()
	out := []string{}
	err := b.List(b.Context(), t, func(i media.Info) error {
		out = append(out, fmt.Sprintf("%s %d", i.Name, i.Size))
		if i.Tag == "" || i.Modified.IsZero() {
			b.Errorf("listed as %+v", i)
		}
		return nil
	})
	if err != nil {
		b.Error(err)
	}
	slices.Sort(out)
	return out
}

func keepMedia(b *mediaBench) {
	if got := b.names(tenantA); len(got) != 0 {
		b.Errorf("an empty store lists %v", got)
	}
	b.holds(tenantA, "a.png", "")
	if err := b.Delete(b.Context(), tenantA, "a.png"); !errors.Is(err, core.ErrNotFound) {
		b.Errorf("deleting what is not there: %v", err)
	}
	large := strings.Repeat("0123456789abcdef", 1<<16) // 1 MiB
	b.put(tenantA, "a.png", "one")
	b.put(tenantA, "application-icons/deep/er/b.svg", large)
	b.holds(tenantA, "a.png", "one")
	b.holds(tenantA, "application-icons/deep/er/b.svg", large)
	b.holds(tenantA, "application-icons", "")
	b.holds(tenantA, "application-icons/deep", "")
	if got := fmt.Sprint(b.names(tenantA)); got != "[a.png 3 application-icons/deep/er/b.svg 1048576]" {
		b.Errorf("listed %s", got)
	}
	old, err := b.Open(b.Context(), tenantA, "a.png")
	if err != nil {
		b.Fatal(err)
	}
	defer old.Close()
	b.put(tenantA, "a.png", "two!")
	b.holds(tenantA, "a.png", "two!")
	anew, err := b.Open(b.Context(), tenantA, "a.png")
	if err != nil {
		b.Fatal(err)
	}
	if err := anew.Close(); err != nil || anew.Tag == old.Tag {
		b.Errorf("%v; the tag stays %s when the file changes", err, old.Tag)
	}
	b.put(tenantA, "empty", "")
	if f, err := b.Open(b.Context(), tenantA, "empty"); err != nil || f.Size != 0 {
		b.Errorf("an empty file: %v", err)
	} else if err := f.Close(); err != nil {
		b.Error(err)
	}
	stop := errors.New("enough")
	seen := 0
	if err := b.List(b.Context(), tenantA, func(media.Info) error { seen++; return stop }); !errors.Is(err, stop) || seen != 1 {
		b.Errorf("a list that is stopped: %v after %d", err, seen)
	}
	for _, name := range []string{"a.png", "application-icons/deep/er/b.svg", "empty"} {
		if err := b.Delete(b.Context(), tenantA, name); err != nil {
			b.Error(err)
		}
		b.holds(tenantA, name, "")
	}
	if got := b.names(tenantA); len(got) != 0 {
		b.Errorf("after all is deleted: %v", got)
	}
	if err := b.Delete(b.Context(), tenantA, "application-icons/deep"); !errors.Is(err, core.ErrNotFound) {
		b.Errorf("deleting what may be a folder: %v", err)
	}
	b.put(tenantA, "x", "file")
	if err := b.Put(b.Context(), tenantA, "x/y", strings.NewReader("below")); err != nil && !errors.Is(err, core.ErrExists) {
		b.Errorf("a file below a file: %v", err)
	}
	b.holds(tenantA, "x", "file")
	b.put(tenantA, "d/e", "file")
	if err := b.Put(b.Context(), tenantA, "d", strings.NewReader("above")); err != nil && !errors.Is(err, core.ErrExists) {
		b.Errorf("a file above a file: %v", err)
	}
	b.holds(tenantA, "d/e", "file")
}

// WrongMediaNames are names that no file may have: M-01.
func WrongMediaNames() []string {
	return []string{
		"", ".", "..", "/", "/etc/passwd", "../x", "../../etc/passwd", "a/../../x", "a/..", "a/./b", "a//b", "a/", ".hidden", ".uploads/x",
		"..\\x", "a\\b", "%2e%2e/x", "%2e%2e%2fx", "%252e", "a b", "a\x00b", "a\nb", "C:x", "a::$DATA", "ä.png", "😀", "a?versionId=1", "a;b", "a#b", "https://evil.test/x", "~root",
		strings.Repeat("a", media.MaxPart+1), strings.Repeat("a/", media.MaxName/2) + "a",
	}
}

func nameMedia(b *mediaBench) {
	b.put(tenantB, "x", "B's")
	for _, name := range WrongMediaNames() {
		var wrong *core.FieldError
		if err := b.Put(b.Context(), tenantA, name, strings.NewReader("x")); !errors.As(err, &wrong) || wrong.Field != "name" {
			b.Errorf("putting %q: %v", name, err)
		}
		b.holds(tenantA, name, "")
		if err := b.Delete(b.Context(), tenantA, name); !errors.Is(err, core.ErrNotFound) {
			b.Errorf("deleting %q: %v", name, err)
		}
	}
	if got := b.names(tenantA); len(got) != 0 {
		b.Errorf("they left %v", got)
	}
	longest := strings.Repeat(strings.Repeat("b", 250)+"/", 4)
	for _, name := range []string{"a", "A-Z_0.9", "a.b.c", "q/.b", "con", longest + strings.Repeat("c", media.MaxName-len(longest)), strings.Repeat("a", media.MaxPart)} {
		var wrong *core.FieldError
		if err := b.Put(b.Context(), tenantA, name, strings.NewReader("x"+name)); errors.As(err, &wrong) && len(name) == media.MaxName {
			continue // a bucket takes less, with the tenant before it
		} else if err != nil {
			b.Errorf("putting %q: %v", name, err)
		}
		b.holds(tenantA, name, "x"+name)
	}
	for _, t := range []core.TenantID{"", ".", "..", "t_", "t_a/b", "t_A", "../public", "template"} {
		if err := b.Put(b.Context(), t, "x", strings.NewReader("x")); err == nil {
			b.Errorf("a file of the tenant %q is put", t)
		}
		b.holds(t, "x", "")
		if err := b.Delete(b.Context(), t, "x"); !errors.Is(err, core.ErrNotFound) {
			b.Errorf("deleting of %q: %v", t, err)
		}
		if got := b.names(t); len(got) != 0 {
			b.Errorf("the tenant %q has %v", t, got)
		}
		if err := b.DeleteAll(b.Context(), t); err != nil {
			b.Errorf("deleting all of %q: %v", t, err)
		}
	}
	b.holds(tenantB, "x", "B's")
}

func seekMedia(b *mediaBench) {
	b.put(tenantA, "f", "0123456789")
	f, err := b.Open(b.Context(), tenantA, "f")
	if err != nil {
		b.Fatal(err)
	}
	if err := iotest.TestReader(f, []byte("0123456789")); err != nil { // seeks, too
		b.Error(err)
	}
	if end, err := f.Seek(0, io.SeekEnd); end != 10 || err != nil {
		b.Errorf("the end is at %d, %v", end, err)
	}
	if _, err := f.Seek(-3, io.SeekEnd); err != nil {
		b.Error(err)
	}
	if rest, err := io.ReadAll(f); string(rest) != "789" || err != nil {
		b.Errorf("the last three are %q, %v", rest, err)
	}
	if err := f.Close(); err != nil {
		b.Error(err)
	}
}

// What somebody has open is read to its end although it was deleted, and may be put back from there.
func deletedOpenMedia(b *mediaBench) {
	content := strings.Repeat("still here", 100_000)
	b.put(tenantA, "a.png", content)
	f, err := b.Open(b.Context(), tenantA, "a.png")
	if err != nil {
		b.Fatal(err)
	}
	if err := b.Delete(b.Context(), tenantA, "a.png"); err != nil {
		b.Error(err)
	}
	b.holds(tenantA, "a.png", "")
	if err := errors.Join(b.Put(b.Context(), tenantA, "a.png", f), f.Close()); err != nil {
		b.Error(err)
	}
	b.holds(tenantA, "a.png", content)
}

func mediaOfTenants(b *mediaBench) {
	b.put(tenantA, "x.png", "A's")
	b.put("t_bb", "x.png", "BB's") // begins as the other's name does
	b.holds(tenantB, "x.png", "")
	if got := b.names(tenantB); len(got) != 0 {
		b.Errorf("B lists %v", got)
	}
	if err := b.Delete(b.Context(), tenantB, "x.png"); !errors.Is(err, core.ErrNotFound) {
		b.Errorf("B deletes A's: %v", err)
	}
	b.put(tenantB, "x.png", "B's")
	b.holds(tenantA, "x.png", "A's")
	b.holds(tenantB, "x.png", "B's")
	if err := b.DeleteAll(b.Context(), tenantB); err != nil {
		b.Error(err)
	}
	b.holds(tenantA, "x.png", "A's")
	b.holds("t_bb", "x.png", "BB's")
	b.holds(tenantB, "x.png", "")
}

func deleteAllMedia(b *mediaBench) {
	if err := b.DeleteAll(b.Context(), tenantA); err != nil {
		b.Errorf("of a tenant that has none: %v", err)
	}
	b.put(tenantA, "a", "1")
	b.put(tenantA, "b/c", "2")
	if err := b.DeleteAll(b.Context(), tenantA); err != nil {
		b.Error(err)
	}
	b.holds(tenantA, "a", "")
	b.holds(tenantA, "b/c", "")
	if got := b.names(tenantA); len(got) != 0 {
		b.Errorf("there is still %v", got)
	}
	b.put(tenantA, "b", "anew")
	b.holds(tenantA, "b", "anew")
}

func brokenMedia(b *mediaBench) {
	b.put(tenantA, "kept", "old")
	broken := errors.New("the line went dead")
	for _, name := range []string{"kept", "new"} {
		content := io.MultiReader(strings.NewReader(strings.Repeat("x", 1<<18)), iotest.ErrReader(broken))
		if err := b.Put(b.Context(), tenantA, name, content); !errors.Is(err, broken) || errors.Is(err, core.ErrUnavailable) {
			b.Errorf("%s: %v, want the content's own error", name, err)
		}
	}
	b.holds(tenantA, "kept", "old")
	b.holds(tenantA, "new", "")
	if got := fmt.Sprint(b.names(tenantA)); got != "[kept 3]" {
		b.Errorf("listed %s", got)
	}
}

func mediaAtOnce(b *mediaBench) {
	var wg sync.WaitGroup
	contents := map[string]bool{}
	for i := range 8 {
		content := strings.Repeat(string(rune('a'+i)), 100_000+i)
		contents[content] = true
		wg.Go(func() {
			for range 3 {
				if err := b.Put(b.Context(), tenantA, "d/same", strings.NewReader(content)); err != nil {
					b.Error(err)
				}
			}
		})
		wg.Go(func() {
			for range 10 {
				f, err := b.Open(b.Context(), tenantA, "d/same")
				if errors.Is(err, core.ErrNotFound) {
					continue
				}
				if err != nil {
					b.Error(err)
					continue
				}
				got, err := io.ReadAll(f)
				if err := errors.Join(err, f.Close()); err != nil || len(got) == 0 || len(got) != bytes.Count(got, got[:1]) || len(got) != int(f.Size) {
					b.Errorf("%d bytes of %d, mixed or cut: %v", len(got), f.Size, err)
				}
			}
		})
	}
	wg.Wait()
	f, err := b.Open(b.Context(), tenantA, "d/same")
	if err != nil {
		b.Fatal(err)
	}
	got, err := io.ReadAll(f)
	if err := errors.Join(err, f.Close()); err != nil || !contents[string(got)] {
		b.Errorf("what was written last is none of them: %v", err)
	}
}

func mediaGoneAway(b *mediaBench) {
	b.put(tenantA, "kept", "old")
	ctx, cancel := context.WithCancel(b.Context())
	cancel()
	if err := b.Put(ctx, tenantA, "kept", strings.NewReader("new")); !errors.Is(err, context.Canceled) {
		b.Errorf("put: %v", err)
	}
	if err := b.List(ctx, tenantA, func(media.Info) error { return nil }); !errors.Is(err, context.Canceled) {
		b.Errorf("list: %v", err)
	}
	b.holds(tenantA, "kept", "old")
}
