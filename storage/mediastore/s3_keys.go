package mediastore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/postern-sso/postern/core"
)

const (
	// keysWait bounds how long AWS may take to give keys.
	keysWait = 5 * time.Second
	// keysAgain is how long a failure to get keys is the answer to everybody.
	keysAgain = 5 * time.Second
	// keysLeft is how long keys that end must still be good.
	keysLeft = time.Minute
)

// errNoKeys: there is nothing to sign with, which is no trouble of the store's.
var errNoKeys = errors.New("there are no keys for S3: set access_key and secret_key, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give this machine an IAM role")

// accessKeys are those that never change, or those of a role, which are fetched anew before they end.
type accessKeys struct {
	fetch  func(*credentials.CredContext) (credentials.Value, error)
	client *http.Client
	last   atomic.Pointer[credentials.Value]

	mu       sync.Mutex
	failed   error
	failedAt time.Time
}

// newAccessKeys takes the keys of the options, else those of a profile, else those of the
// environment, of a web identity, of an ECS task or of an EC2 instance.
func newAccessKeys(o S3Options) *accessKeys {
	k := &accessKeys{client: &http.Client{Timeout: keysWait, Transport: &http.Transport{
		Proxy: func(r *http.Request) (*url.URL, error) {
			if strings.HasPrefix(r.URL.Host, "169.254.") { // this machine's own, which no proxy is to see
				return nil, nil
			}
			return http.ProxyFromEnvironment(r)
		},
		DialContext: (&net.Dialer{Timeout: connectWait}).DialContext,
	}}}
	var from *credentials.Credentials
	switch {
	case o.AccessKey != "":
		from = credentials.NewStaticV4(string(o.AccessKey), string(o.SecretKey), string(o.SessionToken))
	case o.Profile != "":
		from = credentials.NewFileAWSCredentials("", o.Profile)
	default:
		from = credentials.NewIAM("")
		if os.Getenv("AWS_ACCESS_KEY_ID") != "" {
			from = credentials.NewEnvAWS()
		}
	}
	k.fetch = from.GetWithContext
	if o.AccessKey != "" {
		v, _ := k.fetch(nil) // asks nobody
		k.last.Store(&v)
	}
	return k
}

// known are keys that need not be fetched; nil: there are none.
func (k *accessKeys) known() *credentials.Value {
	v := k.last.Load()
	if v == nil || !v.Expiration.IsZero() && time.Until(v.Expiration) < keysLeft {
		return nil
	}
	return v
}

// get are keys to sign with.
func (k *accessKeys) get(ctx context.Context) (*credentials.Value, error) {
	if v := k.known(); v != nil && (v.Expiration.IsZero() || time.Until(v.Expiration) > 5*keysLeft) {
		return v, nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.failed != nil && time.Since(k.failedAt) < keysAgain {
		return k.or(k.failed)
	}
	v, err := k.fetch(&credentials.CredContext{Client: k.client, Context: ctx})
	switch {
	case ctx.Err() != nil:
		return k.or(ctx.Err())
	case err != nil:
		err = fmt.Errorf("%w: %w: %w", core.ErrUnavailable, errNoKeys, err)
	case v.AccessKeyID == "" || v.SecretAccessKey == "":
		err = fmt.Errorf("%w: %w", core.ErrUnavailable, errNoKeys)
	}
	if k.failed, k.failedAt = err, time.Now(); err != nil {
		return k.or(err)
	}
	k.last.Store(&v)
	return &v, nil
}

// or are the keys that are still good, and otherwise the error.
func (k *accessKeys) or(err error) (*credentials.Value, error) {
	if v := k.known(); v != nil {
		return v, nil
	}
	return nil, err
}
