package media

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash"
	"sync"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/cache"
	"github.com/postern-sso/postern/core/keys"
)

const (
	// PathPrefix begins the URLs that are made here.
	PathPrefix = "/files/media/"
	// DefaultLife is how long a URL is good where nobody says otherwise.
	DefaultLife = 15 * time.Minute
	// MinLife and MaxLife bound what somebody may say; the latter is that of presigned URLs of S3.
	MinLife, MaxLife = time.Minute, 7 * 24 * time.Hour
	// maxKeys is how many tenants' keys are in memory.
	maxKeys = 1000
)

// Options are what an answer is told by the URL it is asked with.
type Options struct {
	// Download has a browser keep the file, under the last part of its name, rather than show it.
	Download bool
}

// Signer makes URLs and knows those that it made. All but Life is required.
type Signer struct {
	Master *keys.Master
	// Store may be a Presigner.
	Store Store
	// Life is how long a URL is good at most; it is at least a third of it. 0: DefaultLife.
	Life time.Duration
	Now  func() time.Time

	once sync.Once
	keys *cache.Cache[[]*key] // of tenants, the one that signs first
}

// A token is these bytes in URL-safe base64, of which 39 need no padding, so that each has one
// spelling: a byte of flags, when it ends in seconds of Unix time (6 bytes), and the MAC.
const (
	headLength  = 7
	tokenLength = (headLength + sha256.Size) * 4 / 3
	flagDown    = 1
)

// URL is where who may see a file fetches it: a path on any host of the tenant, or a URL of the
// store's own. It is the same for two thirds of Life, so that browsers need not fetch the file
// for each page. It asks nobody, also not whether the file is there.
func (s *Signer) URL(t *core.Tenant, name string, o Options) string {
	from, until := s.window()
	if p, ok := s.Store.(Presigner); ok {
		if u := p.Presign(t.ID, name, o, from, until); u != "" {
			return u
		}
	}
	var token [headLength + sha256.Size]byte
	head(&token, o, until)
	sum := s.derived(t)[0].mac(t.ID, name, token[:headLength])
	copy(token[headLength:], sum[:])
	out := make([]byte, 0, 200)
	out = append(out, PathPrefix...)
	out = append(out, t.ID...)
	out = append(out, '/')
	out = append(out, name...) // needs no escaping: see CheckName
	out = append(out, "?token="...)
	return string(base64.RawURLEncoding.AppendEncode(out, token[:]))
}

// window is when URLs that are made now began to be the same, and when they end.
func (s *Signer) window() (from, until time.Time) {
	life := s.Life
	if life == 0 {
		life = DefaultLife
	}
	same := int64(life/time.Second) * 2 / 3
	start := s.Now().Unix()
	start -= start % same
	return time.Unix(start, 0), time.Unix(start, 0).Add(life)
}

// Resolve is where a picture is fetched that is given as a URL, a path or fa://name, which stay as they
// are, or as the name of a file, which becomes its URL. Without a Signer that is "". Of one with variants it is that
// for light pages.
func (s *Signer) Resolve(t *core.Tenant, picture string) string {
	picture, _ = Themed(picture, Light)
	switch {
	case CheckName(picture) != nil:
		return picture
	case s == nil:
		return ""
	}
	return s.URL(t, picture, Options{})
}

// Verify returns what a token allows to be done with a file of a tenant, which is to read it, and
// when that ends. A token that is wrong in any way is core.ErrDenied.
func (s *Signer) Verify(t *core.Tenant, name, token string) (o Options, until time.Time, err error) {
	var given [headLength + sha256.Size]byte
	if len(token) != tokenLength || CheckName(name) != nil {
		return o, until, errToken
	}
	if _, err := base64.RawURLEncoding.Strict().Decode(given[:], []byte(token)); err != nil {
		return o, until, errToken
	}
	good := false
	for _, key := range s.derived(t) {
		sum := key.mac(t.ID, name, given[:headLength])
		good = hmac.Equal(sum[:], given[headLength:]) || good
	}
	var seconds [8]byte
	copy(seconds[2:], given[1:headLength])
	until = time.Unix(int64(binary.BigEndian.Uint64(seconds[:])), 0) //nolint:gosec // six bytes of it are used
	if !good || !s.Now().Before(until) {
		return Options{}, time.Time{}, errToken
	}
	return Options{Download: given[0]&flagDown != 0}, until, nil
}

var errToken = fmt.Errorf("the signature of a media URL: %w", core.ErrDenied)

func head(token *[headLength + sha256.Size]byte, o Options, until time.Time) {
	binary.BigEndian.PutUint64(token[:8], uint64(until.Unix())<<8) //nolint:gosec // six bytes are enough for nine million years
	if o.Download {
		token[0] = flagDown
	}
}

// key is a key, and what has read it: that is half of the work.
type key struct {
	secret [32]byte
	idle   sync.Pool
}

// mac covers what a URL allows: to read, of whom, which file, until when and how. No part can hold
// the byte that is between them, and the last has one length.
func (k *key) mac(t core.TenantID, name string, head []byte) (sum [sha256.Size]byte) {
	var room [256]byte
	text := append(room[:0], "read\x00"...)
	text = append(text, t...)
	text = append(text, 0)
	text = append(text, name...)
	text = append(text, 0)
	text = append(text, head...)
	h, ok := k.idle.Get().(hash.Hash)
	if !ok {
		h = hmac.New(sha256.New, k.secret[:])
	}
	h.Write(text)
	h.Sum(sum[:0])
	h.Reset()
	k.idle.Put(h)
	return sum
}

// derived are a tenant's keys. One of the same name and another UUID has others, so that what was
// signed for a tenant that is gone opens nothing of the one that has its name now.
func (s *Signer) derived(t *core.Tenant) []*key {
	s.once.Do(func() { s.keys = cache.New[[]*key](maxKeys) })
	k := cache.Key{Tenant: t.ID, ID: t.UUID}
	all, ok := s.keys.Get(k)
	if !ok {
		for _, secret := range s.Master.DeriveAll(t.ID, "media/"+t.UUID) {
			all = append(all, &key{secret: secret})
		}
		s.keys.Set(k, all)
	}
	return all
}
