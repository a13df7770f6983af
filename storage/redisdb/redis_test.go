package redisdb_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/keys"
	"github.com/postern-sso/postern/storage/redisdb"
	"github.com/postern-sso/postern/storage/sqldb"
	"github.com/postern-sso/postern/storage/storagetest"
)

func master(t testing.TB, fill string) *keys.Master {
	t.Helper()
	m, err := keys.NewMaster(bytes.Repeat([]byte(fill), keys.MinSecret))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// directory is a whole store whose sessions have copies in Redis.
type directory struct {
	*sqldb.DB
	sessions *redisdb.Sessions
}

func (d *directory) FindSession(ctx context.Context, t core.TenantID, key [32]byte) (*core.Session, error) {
	return d.sessions.FindSession(ctx, t, key)
}

func (d *directory) SessionByID(ctx context.Context, t core.TenantID, id core.SessionID) (*core.Session, error) {
	return d.sessions.SessionByID(ctx, t, id)
}

func (d *directory) SaveSession(ctx context.Context, t core.TenantID, key [32]byte, s *core.Session) error {
	return d.sessions.SaveSession(ctx, t, key, s)
}

func (d *directory) TouchSessions(ctx context.Context, t core.TenantID, seen map[core.SessionID]time.Time) error {
	return d.sessions.TouchSessions(ctx, t, seen)
}

func (d *directory) DeleteSession(ctx context.Context, t core.TenantID, id core.SessionID) ([]core.SessionID, error) {
	return d.sessions.DeleteSession(ctx, t, id)
}

func (d *directory) DeleteUserSessions(ctx context.Context, t core.TenantID, u core.UserID, keep core.SessionID) ([]core.SessionID, error) {
	return d.sessions.DeleteUserSessions(ctx, t, u, keep)
}

func (d *directory) UserSessions(ctx context.Context, t core.TenantID, u core.UserID) ([]core.Session, error) {
	return d.sessions.UserSessions(ctx, t, u)
}

func (d *directory) DeleteExpiredSessions(ctx context.Context, t core.TenantID, now time.Time) error {
	return d.sessions.DeleteExpiredSessions(ctx, t, now)
}

// log is what was logged.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// quiet logs nothing.
func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func (l *log) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func (l *log) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.text.String(), text)
}

// node opens a store on SQLite with copies in the Redis of url, which answers.
func node(t testing.TB, url string, now func() time.Time) *directory {
	t.Helper()
	d, said := nodeOn(t, sqldb.Options{Dir: t.TempDir(), Now: now}, url)
	answers(t, d)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the log: %s", &said.text)
		}
	})
	return d
}

// nodeOn opens one on a database of one's own choice. Redis may take long to answer, unless a test is
// about that.
func nodeOn(t testing.TB, opt sqldb.Options, url string, prepare ...func(*redisdb.Sessions)) (*directory, *log) {
	t.Helper()
	said := &log{}
	opt.Master, opt.Log = master(t, "k"), said.logger()
	if opt.Now == nil {
		opt.Now = time.Now
	}
	db, err := sqldb.Open(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	s := &redisdb.Sessions{Durable: db, Master: opt.Master, Now: opt.Now, Log: opt.Log}
	db.OnChange = s.Changed
	s.SetWait(20 * time.Second)
	for _, f := range prepare {
		f(s)
	}
	if err := s.Connect(url); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Close()
		if err := db.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return &directory{db, s}, said
}

// answers waits until Redis is used.
func answers(t testing.TB, d *directory) {
	t.Helper()
	storagetest.EventuallyRedis(t, "redis is used", func() bool { _, ok := d.sessions.Connected(); return ok })
}

// on opens stores that have one Redis, one after the other: the tests give their sessions the same IDs.
func on(url string) storagetest.Open {
	var one sync.Mutex
	return func(sub *testing.T, now func() time.Time) storagetest.Store {
		one.Lock()
		sub.Cleanup(one.Unlock)
		return node(sub, url, now)
	}
}

// suite ends when its tests have ended.
func suite(t *testing.T, url string) {
	t.Run("sessions", func(t *testing.T) { storagetest.TestSessions(t, on(url)) })
	t.Run("contention", func(t *testing.T) { storagetest.TestContention(t, on(url)) })
	t.Run("tenants", func(t *testing.T) { storagetest.TestTenants(t, on(url)) })
}

// What a session.Store promises holds with copies in Redis, of each kind. The stores share one that
// is never emptied, and most session IDs: nothing of one database is taken for another's.
func TestRedis(t *testing.T) {
	storagetest.Ran(t, "redis")
	r := storagetest.StartRedis(t)
	suite(t, "redis://"+r.Addr+"/3")
	if info := fmt.Sprint(r.Do("INFO", "keyspace")); !strings.Contains(info, "db3:keys=") {
		t.Errorf("nothing was written to database 3: %s", info)
	}
}

// rights are what the README says to give to Postern's user of Redis.
func rights(t *testing.T) (args []any) {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	const begin = `redis-cli ACL SETUSER postern on ">$REDIS_PASSWORD" `
	_, block, ok := strings.Cut(string(text), begin)
	block, _, _ = strings.Cut(block, "```")
	if !ok {
		t.Fatalf("README.md does not say %s", begin)
	}
	for _, f := range strings.Fields(strings.NewReplacer("'", "", "\\\n", " ").Replace(block)) {
		args = append(args, f)
	}
	return args
}

// ofUser is that user in a URL.
const ofUser = "postern:p%40ss%3Aw%2Ford@"

// addUser makes the user of the README.
func addUser(t *testing.T, r *storagetest.Redis) {
	t.Helper()
	r.Do(append([]any{"ACL", "SETUSER", "postern", "on", ">p@ss:w/ord"}, rights(t)...)...)
}

// makeUser makes that user, beside whom there is none.
func makeUser(t *testing.T, r *storagetest.Redis) {
	t.Helper()
	addUser(t, r)
	r.Do("ACL", "SETUSER", "default", "off")
}

// A user of Redis who may do no more than is needed.
func TestRedisUser(t *testing.T) {
	storagetest.Ran(t, "redis")
	r := storagetest.StartRedis(t)
	makeUser(t, r)
	suite(t, "redis://"+ofUser+r.Addr)
}

func TestRedisTLS(t *testing.T) {
	storagetest.Ran(t, "redis")
	ca, cert, key := certificates(t)
	r := storagetest.StartRedis(t, "--port", "0", "--tls-port", "{port}", "--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", ca, "--tls-auth-clients", "no")
	suite(t, "rediss://"+r.Addr+"?tls_ca_cert="+ca)
	t.Run("control: nobody vouches for the server", func(t *testing.T) {
		d, said := nodeOn(t, sqldb.Options{Dir: t.TempDir()}, "rediss://"+r.Addr)
		storagetest.EventuallyRedis(t, "it is told", func() bool { return said.has("certificate") })
		if _, ok := d.sessions.Connected(); ok {
			t.Error("it is used")
		}
	})
	t.Run("unverified, as asked", func(t *testing.T) {
		node(t, "rediss://"+r.Addr+"?tls_reqs=none", time.Now)
	})
}

// Sentinels and what they watch, and a Cluster, speak nothing but TLS. A server whose certificate nobody vouches
// for is the control.
func TestRedisTLSFleets(t *testing.T) {
	t.Parallel()
	ca, cert, key := certificates(t)
	secure := []string{"--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", ca, "--tls-auth-clients", "no"}
	check := func(t *testing.T, url, and string) {
		t.Helper()
		url = strings.Replace(url, "redis+", "rediss+", 1)
		suite(t, url+and+"tls_ca_cert="+ca)
		d, said := nodeOn(t, sqldb.Options{Dir: t.TempDir()}, url)
		storagetest.EventuallyRedis(t, "control: it is told", func() bool { return said.has("certificate") })
		if _, ok := d.sessions.Connected(); ok {
			t.Error("control: it is used")
		}
	}
	t.Run("sentinel", func(t *testing.T) {
		storagetest.Ran(t, "redis-sentinel")
		check(t, storagetest.StartSentinels(t, append([]string{"--tls-replication", "yes"}, secure...)...).URL(), "&")
	})
	t.Run("cluster", func(t *testing.T) {
		storagetest.Ran(t, "redis-cluster")
		_, url := storagetest.StartRedisCluster(t, append([]string{"--tls-cluster", "yes"}, secure...)...)
		check(t, url, "?")
	})
}

func TestRedisSentinel(t *testing.T) {
	t.Parallel()
	storagetest.Ran(t, "redis-sentinel")
	s := storagetest.StartSentinels(t)
	suite(t, s.URL())
	t.Run("with a user who may do no more than is needed", func(t *testing.T) {
		for _, r := range []*storagetest.Redis{s.Primary, s.Replica} { // where the sentinels are another user
			addUser(t, r)
		}
		url := strings.Replace(s.URL(), "://", "://"+ofUser, 1)
		t.Run("sessions", func(t *testing.T) { storagetest.TestSessions(t, on(url)) })
		d, said := nodeOn(t, sqldb.Options{Dir: t.TempDir()}, strings.Replace(url, "ss%3A", "xx", 1))
		storagetest.EventuallyRedis(t, "control: it is told", func() bool { return said.has("WRONGPASS") })
		if _, ok := d.sessions.Connected(); ok {
			t.Error("control: it is used by whoever comes")
		}
	})
}

func TestRedisCluster(t *testing.T) {
	storagetest.Ran(t, "redis-cluster")
	all, url := storagetest.StartRedisCluster(t)
	suite(t, url)
	for i, r := range all {
		if n, _ := r.Client().DBSize(t.Context()).Result(); n == 0 {
			t.Errorf("nothing was written to primary %d", i+1)
		}
	}
	t.Run("one of three takes no writes", func(t *testing.T) {
		d := node(t, url, time.Now)
		all[1].Do("CONFIG", "SET", "maxmemory", "1")
		u, err := d.UserByName(t.Context(), tenant, "akadmin")
		if err != nil {
			t.Fatal(err)
		}
		for i := range 20 {
			id := core.SessionID(fmt.Sprint("of one in three ", i))
			s := &core.Session{ID: id, User: u.ID, Expires: time.Now().Add(time.Hour)}
			if err := d.SaveSession(t.Context(), tenant, core.Hash(string(id)), s); err != nil {
				t.Error(err)
			}
			if _, err := d.FindSession(t.Context(), tenant, core.Hash(string(id))); err != nil {
				t.Error(err)
			}
		}
		if _, ok := d.sessions.Connected(); ok {
			t.Error("it is used")
		}
		all[1].Do("CONFIG", "SET", "maxmemory", "0")
		answers(t, d)
	})
	t.Run("with a user who may do no more than is needed", func(t *testing.T) {
		for _, r := range all {
			makeUser(t, r)
		}
		suite(t, strings.Replace(url, "://", "://"+ofUser, 1))
	})
}

// certificates makes an authority and a server's certificate for 127.0.0.1, in files.
func certificates(t *testing.T) (ca, cert, key string) {
	t.Helper()
	dir := t.TempDir()
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test CA"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	caDER, err := x509.CreateCertificate(rand.Reader, template, template, caKey.Public(), caKey)
	must(err)
	serverKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	server := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "redis"}, NotBefore: template.NotBefore,
		NotAfter: template.NotAfter, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	serverDER, err := x509.CreateCertificate(rand.Reader, server, template, serverKey.Public(), caKey)
	must(err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(serverKey)
	must(err)
	return write("ca.pem", "CERTIFICATE", caDER), write("cert.pem", "CERTIFICATE", serverDER), write("key.pem", "PRIVATE KEY", keyDER)
}
