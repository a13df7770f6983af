package mediastore

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/minio/minio-go/v7/pkg/s3utils"
	"github.com/minio/minio-go/v7/pkg/signer"

	"github.com/postern-sso/postern/core"
)

const (
	// callWait bounds a call that carries no file, transferWait one that does: both with what is
	// tried again.
	callWait     = 10 * time.Second
	transferWait = time.Minute
	// answerWait is how long the store may think.
	answerWait  = 5 * time.Second
	connectWait = 2 * time.Second
	// again is the pause before a call is tried once more.
	again = 200 * time.Millisecond
	// atOnce is how many calls may be under way.
	atOnce = 64
	// emptySum is the SHA-256 of nothing.
	emptySum = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

// call is one request to the store. Each can be made twice.
type call struct {
	method string
	key    string // of an object, as it is; "": the bucket
	query  url.Values
	header http.Header
	file   *os.File // the body; nil: text is
	text   string
	size   int64  // of the body
	sum    string // SHA-256 of the body, in hex; "": of nothing
	wait   time.Duration
}

// newClient speaks to the store, and follows it nowhere else: a redirect would take the signature along.
func newClient() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: connectWait}).DialContext,
			TLSHandshakeTimeout:   connectWait + time.Second,
			ResponseHeaderTimeout: answerWait,
			IdleConnTimeout:       time.Minute,
			MaxIdleConnsPerHost:   8,
			DisableCompression:    true, // files are to arrive as they are
			ForceAttemptHTTP2:     true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// do makes a call and has its answer read. An error of the store that may be over soon is tried
// once more, and then nobody asks it until it is back. Errors: *s3Error for what it answers, ctx's
// where that ended, core.ErrUnavailable where it did not answer.
func (s *S3) do(ctx context.Context, c *call, read func(*http.Response) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if c.wait == 0 {
		c.wait = callWait
	}
	limited, cancel := context.WithTimeout(ctx, c.wait)
	defer cancel()
	leave, err := s.state.enter(limited, s.probe)
	if err != nil {
		return err
	}
	defer leave()
	learned := false
	began := time.Now()
	for try := 0; ; try++ {
		err = s.once(limited, c, read)
		var refused *s3Error
		if errors.As(err, &refused) && refused.Region != "" && !learned && s.options.Region == "" {
			s.region.Store(&refused.Region)
			learned = true
			continue
		}
		if err == nil || errors.Is(err, errSame) {
			s.state.works()
			return err
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%w (%w)", ctx.Err(), err)
		}
		if !passing(err) {
			return err
		}
		if try > 0 || limited.Err() != nil || time.Since(began) > time.Second { // who was slow is not asked twice
			break
		}
		select {
		case <-limited.Done():
		case <-time.After(again):
		}
	}
	s.state.fails(err)
	return fmt.Errorf("%w: %w", core.ErrUnavailable, withoutQuery(err))
}

// passing reports whether an error is the store's own trouble, which may be over soon, and not
// one of what was asked or of the disk here.
func passing(err error) bool {
	var refused *s3Error
	var local *localError
	switch {
	case errors.As(err, &refused):
		return refused.Status >= 500 && refused.Status != http.StatusNotImplemented || refused.Status == http.StatusTooManyRequests
	case errors.As(err, &local), errors.Is(err, errNoKeys):
		return false
	}
	return true
}

// withoutQuery leaves the URL of a request out of its error, which may have a signature in it.
func withoutQuery(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// once sends a request that is signed for the region and has its answer read.
func (s *S3) once(ctx context.Context, c *call, read func(*http.Response) error) error {
	keys, err := s.keys.get(ctx)
	if err != nil {
		return err
	}
	region := s.options.Region
	if p := s.region.Load(); region == "" && p != nil {
		region = *p
	}
	u := *s.endpoint
	if s.options.Endpoint == "" {
		u.Host = awsHost(region) // it may have been learned
	}
	if region == "" {
		region = defaultRegion
	}
	if s.virtual {
		u.Host = s.options.Bucket + "." + u.Host
	} else {
		u.Path += "/" + s.options.Bucket
	}
	u.Path += "/" + c.key
	u.RawPath = s3utils.EncodePath(u.Path)
	u.RawQuery = c.query.Encode()
	r, err := http.NewRequestWithContext(ctx, c.method, u.String(), nil)
	if err != nil {
		return err
	}
	r.URL = &u
	for name, values := range c.header {
		r.Header[name] = values
	}
	r.Header.Set("X-Amz-Content-Sha256", emptySum)
	if c.sum != "" {
		r.Header.Set("X-Amz-Content-Sha256", c.sum)
		r.ContentLength = c.size
		r.Body = http.NoBody
		if c.size > 0 && c.file != nil {
			r.Body = io.NopCloser(io.NewSectionReader(c.file, 0, c.size))
		} else if c.size > 0 {
			r.Body = io.NopCloser(strings.NewReader(c.text))
		}
	}
	answer, err := s.client(signer.SignV4(*r, keys.AccessKeyID, keys.SecretAccessKey, keys.SessionToken, region))
	if err != nil {
		return withoutQuery(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode >= 300 && answer.StatusCode != http.StatusNotModified {
		return refusal(answer)
	}
	s.region.CompareAndSwap(nil, &region)
	return read(answer)
}

// refusal reads what the store says against a request.
func refusal(r *http.Response) error {
	e := &s3Error{Message: http.StatusText(r.StatusCode)}
	b, err := io.ReadAll(io.LimitReader(r.Body, 64<<10))
	if err == nil && len(b) > 0 {
		_ = xml.Unmarshal(b, e) // a proxy's page is none, and says nothing
	}
	e.Status = r.StatusCode
	if region := r.Header.Get("X-Amz-Bucket-Region"); region != "" && r.StatusCode != http.StatusNotFound && r.StatusCode != http.StatusForbidden {
		e.Region = region
	}
	return e
}

// localError is one of the disk here.
type localError struct{ error }

func (e *localError) Unwrap() error { return e.error }

// localWriter tells apart what could not be written from what could not be read. It has nothing else of a
// file: io.Copy prefers ReadFrom to Write.
type localWriter struct{ f *os.File }

func (w *localWriter) Write(p []byte) (int, error) {
	n, err := w.f.Write(p)
	if err != nil {
		err = &localError{err}
	}
	return n, err
}

// probe reports whether the store is there again. What it answers does not matter.
func (s *S3) probe(ctx context.Context) bool {
	err := s.once(ctx, &call{method: http.MethodHead}, nothing)
	return err == nil || !passing(err)
}
