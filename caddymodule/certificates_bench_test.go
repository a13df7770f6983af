package caddymodule

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/storage/sqldb"
	"github.com/postern-sso/postern/storage/storagetest"
)

const certificateIssuer = "acme.test-directory"

func certificateHost(i int) string { return fmt.Sprintf("host-%d.example", i) }

// certificates gives n hosts' certificates to store, as Caddy keeps those that it ordered.
func certificates(b *testing.B, n int, store func(key string, value []byte) error) {
	b.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader) // one for all: the keys are not what is measured
	if err != nil {
		b.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		b.Fatal(err)
	}
	private := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
	var writers sync.WaitGroup
	for w := range 32 { // side by side, as each write waits for the disk
		writers.Go(func() {
			for i := w; i < n; i += 32 {
				host := certificateHost(i)
				c := &x509.Certificate{SerialNumber: big.NewInt(int64(i + 1)), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
					NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(90 * 24 * time.Hour)}
				der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
				for file, value := range map[string][]byte{
					certmagic.StorageKeys.SiteCert(certificateIssuer, host):       pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
					certmagic.StorageKeys.SitePrivateKey(certificateIssuer, host): private,
					certmagic.StorageKeys.SiteMeta(certificateIssuer, host):       fmt.Appendf(nil, `{"sans": [%q], "issuer_data": {}}`, host),
				} {
					if err == nil {
						err = store(file, value)
					}
				}
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	writers.Wait()
}

// noIssuer is the authority whose certificates are there: nothing is ordered of it.
type noIssuer struct{}

func (noIssuer) Issue(context.Context, *x509.CertificateRequest) (*certmagic.IssuedCertificate, error) {
	return nil, os.ErrInvalid
}
func (noIssuer) IssuerKey() string { return certificateIssuer }

func benchmarkCertificates(b *testing.B, n int, storage certmagic.Storage, ceiling map[string]float64) {
	var config *certmagic.Config
	cache := certmagic.NewCache(certmagic.CacheOptions{Logger: zap.NewNop(), GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return config, nil }})
	b.Cleanup(cache.Stop)
	config = certmagic.New(cache, certmagic.Config{Storage: storage, Issuers: []certmagic.Issuer{noIssuer{}}, Logger: zap.NewNop(), OCSP: certmagic.OCSPConfig{DisableStapling: true}})
	clean := func(ctx context.Context) error {
		return certmagic.CleanStorage(ctx, storage, certmagic.CleanStorageOptions{Logger: zap.NewNop(), OCSPStaples: true, ExpiredCerts: true})
	}
	i := 0
	load := func() error { // what a first handshake reads of a host that has a certificate
		i = (i*31 + 17) % n
		_, err := config.CacheManagedCertificate(b.Context(), certificateHost(i))
		return err
	}
	run := func(name string, f func() error) {
		b.Run(fmt.Sprintf("%s-of-%d", name, n), func(b *testing.B) {
			for b.Loop() {
				if err := f(); err != nil {
					b.Fatal(err)
				}
			}
			each := float64(b.Elapsed().Nanoseconds()) / float64(b.N)
			if ceiling[name] == 0 {
				ceiling[name] = each
			} else {
				b.ReportMetric(100*ceiling[name]/each, "%of-100")
			}
		})
	}
	run("first-handshake", load)
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			if err := clean(ctx); err != nil && ctx.Err() == nil {
				b.Error(err)
			}
		}
	}()
	run("first-handshake-while-cleaning", load)
	cancel()
	<-done
	run("cleaning", func() error { return clean(b.Context()) }) // once a day, and at a start after that
}

// BenchmarkCertificates: what a host's first handshake and the daily cleaning read where 10,000 hosts
// have certificates, beside 100, in Postern's storage and in files.
func BenchmarkCertificates(b *testing.B) {
	postern := func(b *testing.B, empty func(testing.TB) sqldb.Options) {
		ceiling := map[string]float64{}
		for _, n := range []int{100, 10_000} {
			opt := empty(b)
			s := &Storage{app: openApp(b, func(a *App) { a.settings.database = core.Secret(opt.URL) })}
			b.Cleanup(func() {
				if err := s.Cleanup(); err != nil {
					b.Error(err)
				}
			})
			certificates(b, n, func(key string, value []byte) error { return s.Store(b.Context(), key, value) })
			benchmarkCertificates(b, n, s, ceiling)
		}
	}
	storagetest.OnEngines(b, postern)
	b.Run("files", func(b *testing.B) {
		ceiling := map[string]float64{}
		for _, n := range []int{100, 10_000} {
			s := &certmagic.FileStorage{Path: b.TempDir()}
			certificates(b, n, func(key string, value []byte) error {
				path := s.Filename(key)
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					return err
				}
				return os.WriteFile(path, value, 0o600)
			})
			benchmarkCertificates(b, n, s, ceiling)
		}
	})
}
