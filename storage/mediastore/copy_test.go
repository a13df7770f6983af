package mediastore_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/media"
	"github.com/postern-sso/postern/storage/mediastore"
	"github.com/postern-sso/postern/storage/storagetest"
)

// breaking is a store that fails after some files.
type breaking struct {
	mediastore.Tenanted
	left   atomic.Int32
	change bool
}

var errLine = errors.New("the line went dead")

func (b *breaking) Put(ctx context.Context, t core.TenantID, name string, content io.Reader) error {
	if b.left.Add(-1) < 0 {
		content = iotest.ErrReader(errLine)
	} else if b.change {
		all, err := io.ReadAll(content)
		if err != nil {
			return err
		}
		content = strings.NewReader(string(all) + "!")
	}
	return b.Tenanted.Put(ctx, t, name, content)
}

// Every tenant's files come from a directory to a bucket and back; one that was interrupted goes
// on, and what was changed at the other end since stays.
func TestCopy(t *testing.T) {
	m := storagetest.StartMinIO(t)
	bucket := s3Of(t, m, nil)
	dir := &mediastore.Dir{Path: filepath.Join(t.TempDir(), "media")}
	count := 0
	put := func(s media.Store, of core.TenantID, name, content string) {
		t.Helper()
		if err := s.Put(t.Context(), of, name, strings.NewReader(content)); err != nil {
			t.Fatal(err)
		}
	}
	for _, of := range []core.TenantID{"public", "t_a", "t_b"} {
		for i := range 7 {
			put(dir, of, fmt.Sprintf("application-icons/%d.png", i), fmt.Sprintf("%s's %d", of, i))
			count++
		}
	}
	nobody := func(core.TenantID) {}
	breaks := func(after int32, change bool) *breaking {
		b := &breaking{Tenanted: bucket, change: change}
		b.left.Store(after)
		return b
	}
	if done, err := mediastore.Copy(t.Context(), dir, breaks(9, false), nobody); !errors.Is(err, errLine) || !strings.Contains(err.Error(), "t_a") {
		t.Errorf("interrupted: %+v, %v", done, err)
	}
	if _, err := mediastore.Copy(t.Context(), dir, breaks(100, true), nobody); err == nil {
		t.Error("files that arrived as others are taken for copied")
	}
	bad := 0 // of the last one
	for _, of := range []core.TenantID{"public", "t_a", "t_b"} {
		if err := bucket.List(t.Context(), of, func(i media.Info) error {
			f, err := bucket.Open(t.Context(), of, i.Name)
			if err != nil {
				return err
			}
			b, err := io.ReadAll(f)
			if strings.HasSuffix(string(b), "!") {
				bad++
				err = errors.Join(err, bucket.Delete(t.Context(), of, i.Name))
			}
			return errors.Join(err, f.Close())
		}); err != nil {
			t.Fatal(err)
		}
	}
	var told []core.TenantID
	done, err := mediastore.Copy(t.Context(), dir, bucket, func(of core.TenantID) { told = append(told, of) })
	if err != nil || done.Tenants != 3 || done.Copied+done.Same != count || done.Same < 9-bad || done.Copied < 7 || len(told) != 3 {
		t.Errorf("%+v, %v, %v", done, told, err)
	}
	// While both serve: new at the source, and changed at the target.
	put(dir, "t_a", "late.png", "late")
	put(bucket, "t_a", "application-icons/1.png", "changed since")
	past := time.Now().Add(-time.Hour)
	for i := range 7 {
		if err := os.Chtimes(filepath.Join(dir.Path, "t_a", "application-icons", fmt.Sprint(i, ".png")), past, past); err != nil {
			t.Fatal(err)
		}
	}
	if done, err = mediastore.Copy(t.Context(), dir, bucket, nobody); err != nil || done.Copied != 1 || done.Newer != 1 || done.Same != count-1 {
		t.Errorf("the second time: %+v, %v", done, err)
	}
	back := &mediastore.Dir{Path: filepath.Join(t.TempDir(), "back")}
	if done, err = mediastore.Copy(t.Context(), bucket, back, nobody); err != nil || done.Copied != count+1 || done.Bytes == 0 {
		t.Errorf("back: %+v, %v", done, err)
	}
	for path, want := range map[string]string{"public/application-icons/6.png": "public's 6", "t_a/application-icons/1.png": "changed since", "t_a/late.png": "late", "t_b/application-icons/0.png": "t_b's 0"} {
		if b, err := os.ReadFile(filepath.Join(back.Path, path)); err != nil || string(b) != want {
			t.Errorf("%s: %q, %v", path, b, err)
		}
	}
	if done, err := mediastore.Copy(t.Context(), &mediastore.Dir{Path: filepath.Join(t.TempDir(), "nothing")}, bucket, nobody); err != nil || done != (mediastore.Copied{}) {
		t.Errorf("a directory that is not there: %+v, %v", done, err)
	}
}
