package mediastore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/media"
)

const (
	// rootFolder begins every key, as `aws s3 sync /media s3://bucket/media` writes it.
	rootFolder = "media/"
	// maxKey is how long S3 lets a key be, in bytes.
	maxKey = 1024
	// sniffed is how much of a file says of which type it is.
	sniffed = 512
	// maxAnswer bounds what is read of an answer that is no file: a page of a list has 1,000 keys.
	maxAnswer = 16 << 20
)

// S3 keeps files in a bucket, each as media/<tenant>/<name>, for this account alone. NewS3
// makes one; that asks nobody.
type S3 struct {
	options  S3Options
	endpoint *url.URL // without the bucket
	virtual  bool     // the bucket is part of the host
	public   *url.URL // where browsers come; nil: nowhere
	client   func(*http.Request) (*http.Response, error)
	keys     *accessKeys
	region   atomic.Pointer[string] // nil: not known yet
	asking   atomic.Bool            // for keys or region
	state    breaker
	cache    *fileCache
	headers  http.Header // of each object that is put
	page     string      // how many keys of a list come at once; "": as many as the store likes
}

func (s *S3) key(t core.TenantID, name string) (string, error) {
	if !t.Valid() || media.CheckName(name) != nil {
		return "", core.ErrNotFound
	}
	return rootFolder + string(t) + "/" + name, nil
}

// Open fetches a file, or takes it from the cache. It is on the disk when Open returns, so that a
// slow reader keeps no connection to the store.
func (s *S3) Open(ctx context.Context, t core.TenantID, name string) (*media.File, error) {
	key, err := s.key(t, name)
	if err != nil {
		return nil, fmt.Errorf("open a media file: %w", err)
	}
	f, i, err := s.cache.open(ctx, key, s.fetch)
	if err != nil {
		return nil, doing("open a media file", err)
	}
	i.Name = name
	return &media.File{ReadSeekCloser: f, Info: i}, nil
}

// fetch writes an object to a file. Where it still has the tag, it is errSame.
func (s *S3) fetch(ctx context.Context, key, tag string, into *os.File) (media.Info, error) {
	var i media.Info
	c := &call{method: http.MethodGet, key: key, wait: transferWait}
	if tag != "" {
		c.header = http.Header{"If-None-Match": {`"` + tag + `"`}}
	}
	err := s.do(ctx, c, func(r *http.Response) error {
		if r.StatusCode == http.StatusNotModified {
			return errSame
		}
		if _, err := into.Seek(0, io.SeekStart); err != nil { // a second try
			return &localError{err}
		}
		if err := into.Truncate(0); err != nil {
			return &localError{err}
		}
		n, err := io.Copy(&localWriter{into}, r.Body)
		if err == nil && r.ContentLength >= 0 && n != r.ContentLength {
			err = io.ErrUnexpectedEOF
		}
		i = media.Info{Size: n, Tag: tagOf(r.Header.Get("ETag"))}
		i.Modified, _ = http.ParseTime(r.Header.Get("Last-Modified")) // else nothing is known of it
		return err
	})
	return i, err
}

// tagOf leaves of an ETag what may stand in another one.
func tagOf(etag string) string {
	return strings.Map(func(c rune) rune {
		if c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '-' {
			return c
		}
		return -1
	}, strings.TrimPrefix(etag, "W/"))
}

// Put spools the content, so that S3 is told its length and checksum beforehand and keeps it whole or
// not at all.
func (s *S3) Put(ctx context.Context, t core.TenantID, name string, content io.Reader) (err error) {
	if err := media.CheckName(name); err != nil {
		return err
	}
	key, err := s.key(t, name)
	if err != nil {
		return fmt.Errorf("put a media file: %w", err)
	}
	if len(key) > maxKey {
		return &core.FieldError{Field: "name", Message: fmt.Sprintf("A bucket takes names of %d characters at most.", maxKey-len(key)+len(name))}
	}
	spool, err := s.cache.temporary()
	if err != nil {
		return fmt.Errorf("put a media file: %w: %w", core.ErrUnavailable, err)
	}
	defer func() { err = errors.Join(err, discard(spool)) }()
	sum := sha256.New()
	from := &source{ctx: ctx, from: content}
	size, err := io.Copy(io.MultiWriter(spool, sum), from)
	if from.failed != nil { // the caller's own
		return from.failed
	}
	if err != nil {
		return fmt.Errorf("put a media file: %w: %w", core.ErrUnavailable, err)
	}
	begin := make([]byte, min(size, sniffed))
	if _, err := spool.ReadAt(begin, 0); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("put a media file: %w: %w", core.ErrUnavailable, err)
	}
	c := &call{method: http.MethodPut, key: key, header: s.headers.Clone(), file: spool, size: size, sum: hex.EncodeToString(sum.Sum(nil)), wait: transferWait}
	c.header.Set("Content-Type", media.TypeOf(name, begin))
	err = s.do(ctx, c, nothing)
	s.cache.drop(key)
	switch code(err) {
	case "XMinioObjectExistsAsDirectory", "XMinioParentIsObject":
		return &core.FieldError{Field: "name", Message: "There is a folder of that name, or a file where the name has a folder.", Err: core.ErrExists}
	}
	return doing("put a media file", err)
}

// Delete looks first whether there is a file: S3 deletes what is not there as well.
func (s *S3) Delete(ctx context.Context, t core.TenantID, name string) error {
	key, err := s.key(t, name)
	if err == nil {
		err = s.do(ctx, &call{method: http.MethodHead, key: key}, nothing)
	}
	if err == nil {
		err = s.do(ctx, &call{method: http.MethodDelete, key: key}, nothing)
		s.cache.drop(key)
	}
	return doing("delete a media file", err)
}

// List reads the keys of a tenant, a thousand at a time.
func (s *S3) List(ctx context.Context, t core.TenantID, each func(media.Info) error) error {
	if !t.Valid() {
		return nil
	}
	prefix := rootFolder + string(t) + "/"
	return s.list(ctx, prefix, func(o object) error {
		i := media.Info{Name: strings.TrimPrefix(o.Key, prefix), Size: o.Size, Modified: o.LastModified, Tag: tagOf(o.ETag)}
		if media.CheckName(i.Name) != nil {
			return nil
		}
		return each(i)
	})
}

// DeleteAll deletes every key of a tenant.
func (s *S3) DeleteAll(ctx context.Context, t core.TenantID) error {
	if !t.Valid() {
		return nil
	}
	return s.list(ctx, rootFolder+string(t)+"/", func(o object) error {
		err := s.do(ctx, &call{method: http.MethodDelete, key: o.Key}, nothing)
		s.cache.drop(o.Key)
		return doing("delete a tenant's media", err)
	})
}

// Forget drops a tenant's files from the cache: another one may have its name next.
func (s *S3) Forget(t core.TenantID) { s.cache.dropAll(rootFolder + string(t) + "/") }

// object is one of a list.
type object struct {
	Key          string
	Size         int64
	LastModified time.Time
	ETag         string
}

// list calls each for every key that begins so.
func (s *S3) list(ctx context.Context, prefix string, each func(object) error) error {
	query := url.Values{"list-type": {"2"}, "prefix": {prefix}, "encoding-type": {"url"}}
	if s.page != "" {
		query.Set("max-keys", s.page)
	}
	for {
		var page struct {
			Contents              []object
			EncodingType          string
			IsTruncated           bool
			NextContinuationToken string
		}
		err := s.do(ctx, &call{method: http.MethodGet, query: query}, func(r *http.Response) error {
			page.Contents = nil
			return xml.NewDecoder(io.LimitReader(r.Body, maxAnswer)).Decode(&page)
		})
		if err != nil {
			return doing("list media files", err)
		}
		for _, o := range page.Contents {
			if page.EncodingType == "url" {
				if o.Key, err = url.QueryUnescape(o.Key); err != nil {
					return fmt.Errorf("list media files: %w: %w", core.ErrUnavailable, err)
				}
			}
			if !strings.HasPrefix(o.Key, prefix) {
				return fmt.Errorf("list media files: %w: the store listed what was not asked for", core.ErrUnavailable)
			}
			if err := each(o); err != nil {
				return err
			}
		}
		if !page.IsTruncated || page.NextContinuationToken == "" {
			return nil
		}
		query.Set("continuation-token", page.NextContinuationToken)
	}
}

func nothing(*http.Response) error { return nil }

// doing says what was tried, and what the error is to who asked.
func doing(what string, err error) error {
	var refused *s3Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, core.ErrNotFound), errors.Is(err, core.ErrUnavailable), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: %w", what, err)
	case errors.As(err, &refused) && refused.Status == http.StatusNotFound && refused.Code != "NoSuchBucket":
		return fmt.Errorf("%s: %w", what, core.ErrNotFound)
	}
	return fmt.Errorf("%s: %w: %w", what, core.ErrUnavailable, err)
}

func code(err error) string {
	var refused *s3Error
	if errors.As(err, &refused) {
		return refused.Code
	}
	return ""
}

// s3Error is an answer that is no success.
type s3Error struct {
	Status        int    `xml:"-"`
	Code, Message string // as S3 says it
	Region        string // which would be right
}

func (e *s3Error) Error() string {
	return "S3 answers " + strconv.Itoa(e.Status) + " " + e.Code + ": " + e.Message
}

var (
	_ media.Store     = (*S3)(nil)
	_ media.Presigner = (*S3)(nil)
)
