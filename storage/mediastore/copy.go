package mediastore

import (
	"context"
	"crypto/sha256"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/media"
)

// copiesAtOnce is how many files are copied at once.
const copiesAtOnce = 8

// Tenanted is a store that knows who has files in it.
type Tenanted interface {
	media.Store
	Tenants(ctx context.Context) ([]core.TenantID, error)
}

// Tenants are those that have a folder.
func (d *Dir) Tenants(context.Context) ([]core.TenantID, error) {
	all, err := d.open()
	if err != nil {
		return nil, ignoreNotFound(failed("list tenants with media", err))
	}
	defer all.Close()
	entries, err := fs.ReadDir(all.FS(), ".")
	var out []core.TenantID
	for _, e := range entries {
		if t := core.TenantID(e.Name()); e.IsDir() && t.Valid() {
			out = append(out, t)
		}
	}
	return out, failed("list tenants with media", err)
}

// Tenants are those that have a key.
func (s *S3) Tenants(ctx context.Context) ([]core.TenantID, error) {
	query := url.Values{"list-type": {"2"}, "prefix": {rootFolder}, "delimiter": {"/"}}
	var out []core.TenantID
	for {
		var page struct {
			CommonPrefixes        []struct{ Prefix string }
			IsTruncated           bool
			NextContinuationToken string
		}
		err := s.do(ctx, &call{method: http.MethodGet, query: query}, func(r *http.Response) error {
			page.CommonPrefixes = nil
			return xml.NewDecoder(io.LimitReader(r.Body, maxAnswer)).Decode(&page)
		})
		if err != nil {
			return nil, s.explain("list tenants with media", err)
		}
		for _, p := range page.CommonPrefixes {
			if t := core.TenantID(strings.TrimSuffix(strings.TrimPrefix(p.Prefix, rootFolder), "/")); t.Valid() {
				out = append(out, t)
			}
		}
		if !page.IsTruncated || page.NextContinuationToken == "" {
			return out, nil
		}
		query.Set("continuation-token", page.NextContinuationToken)
	}
}

// Copied says what Copy did with how many files.
type Copied struct {
	Tenants int   `json:"tenants"`
	Copied  int   `json:"copied"`
	Bytes   int64 `json:"bytes"` // of what was copied
	Same    int   `json:"same"`  // which were there already
	Newer   int   `json:"newer"` // which were changed there since, and stay as they are
}

// Copy copies every file of every tenant, and reads each again where it is now. What is there already is
// compared, so one that was interrupted goes on, and another one brings what came meanwhile. Nothing is
// deleted.
func Copy(ctx context.Context, from, to Tenanted, told func(core.TenantID)) (Copied, error) {
	tenants, err := from.Tenants(ctx)
	if err != nil {
		return Copied{}, err
	}
	c := &copying{from: from, to: to}
	for _, t := range tenants {
		if err := c.tenant(ctx, t); err != nil {
			return c.done, fmt.Errorf("tenant %s: %w", t, err)
		}
		c.done.Tenants++
		told(t)
	}
	return c.done, nil
}

type copying struct {
	from, to media.Store
	mu       sync.Mutex
	done     Copied
	failed   error
}

func (c *copying) tenant(ctx context.Context, t core.TenantID) error {
	there := map[string]media.Info{}
	if err := c.to.List(ctx, t, func(i media.Info) error { there[i.Name] = i; return nil }); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var wg sync.WaitGroup
	places := make(chan struct{}, copiesAtOnce)
	err := c.from.List(ctx, t, func(i media.Info) error {
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			old, has := there[i.Name]
			if err := c.file(ctx, t, i, old, has); err != nil {
				c.mu.Lock()
				c.failed = errors.Join(c.failed, fmt.Errorf("%s: %w", i.Name, err))
				c.mu.Unlock()
				stop()
			}
		})
		return ctx.Err()
	})
	wg.Wait()
	if c.failed != nil {
		return c.failed
	}
	return err
}

// file copies one, unless it is there.
func (c *copying) file(ctx context.Context, t core.TenantID, i, old media.Info, has bool) error {
	before, err := sumOf(ctx, c.from, t, i.Name)
	if errors.Is(err, core.ErrNotFound) { // deleted meanwhile
		return nil
	}
	if err != nil {
		return err
	}
	if has {
		after, err := sumOf(ctx, c.to, t, i.Name)
		if err != nil && !errors.Is(err, core.ErrNotFound) {
			return err
		}
		if err == nil && (after == before || old.Modified.After(i.Modified)) {
			c.mu.Lock()
			defer c.mu.Unlock()
			if after == before {
				c.done.Same++
			} else {
				c.done.Newer++
			}
			return nil
		}
	}
	f, err := c.from.Open(ctx, t, i.Name)
	if err != nil {
		return err
	}
	sum := sha256.New()
	err = c.to.Put(ctx, t, i.Name, io.TeeReader(f, sum))
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	after, err := sumOf(ctx, c.to, t, i.Name)
	if err != nil {
		return err
	}
	if after != [sha256.Size]byte(sum.Sum(nil)) {
		return errors.New("it is another file than the one that was copied: try again, and see that nobody else writes there")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done.Copied++
	c.done.Bytes += f.Size
	return nil
}

func sumOf(ctx context.Context, s media.Store, t core.TenantID, name string) (sum [sha256.Size]byte, err error) {
	f, err := s.Open(ctx, t, name)
	if err != nil {
		return sum, err
	}
	h := sha256.New()
	_, err = io.Copy(h, f)
	return [sha256.Size]byte(h.Sum(nil)), errors.Join(err, f.Close())
}

var (
	_ Tenanted = (*Dir)(nil)
	_ Tenanted = (*S3)(nil)
)
