package counterparts_test

import (
	"crypto/tls"
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-sso/postern/caddymodule/porttest"
	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/expression"
	"github.com/postern-sso/postern/core/keys"
	"github.com/postern-sso/postern/storage/sqldb"
)

// manyConfig is a server with a site for every host, and certificates for those that are somebody's.
const manyConfig = `{
	admin {$POSTERN_ADMIN}
	skip_install_trust
	auto_https disable_redirects
	local_certs
	postern {
		origin http://localhost:{$POSTERN_PORT}
		data {$POSTERN_DATA}
		database {$MANY_DATABASE}
		secret {env.MANY_SECRET}
	}
	on_demand_tls {
		permission postern
	}
}
http://:{$POSTERN_PORT} {
	postern
}
https://:{$MANY_TLS} {
	tls {
		on_demand
	}
	postern
}
`

// many is the real server with tenants and domains that were put into its database.
type many struct {
	*postern
	tls, database string
}

func newMany(b *testing.B, database string) *many {
	b.Helper()
	m := &many{tls: porttest.Free(b), database: database}
	m.postern = &postern{port: porttest.Free(b), admin: porttest.Free(b), data: b.TempDir(), caddyfile: filepath.Join(b.TempDir(), "Caddyfile")}
	if err := os.WriteFile(m.caddyfile, []byte(manyConfig), 0o600); err != nil {
		b.Fatal(err)
	}
	m.env = append([]string{
		"POSTERN_PORT=" + m.port, "POSTERN_ADMIN=localhost:" + m.admin, "POSTERN_DATA=" + m.data, "XDG_DATA_HOME=" + b.TempDir(),
		"XDG_CONFIG_HOME=" + b.TempDir(), "MANY_DATABASE=" + database, "MANY_SECRET=" + fleetSecret, "MANY_TLS=" + m.tls,
	}, bootstrapped()...)
	m.begin(b) // makes the default tenant
	m.stop(b)
	return m
}

// begin starts the server and gives how long it took until it was ready.
func (m *many) begin(b *testing.B) time.Duration {
	b.Helper()
	began := time.Now()
	m.process = run(b, m.env, counterpart(b, "POSTERN_TEST_CADDY"), "run", "--config", m.caddyfile, "--adapter", "caddyfile")
	for ; ; time.Sleep(2 * time.Millisecond) {
		select {
		case <-m.done:
			b.Fatalf("it ended: %s", tail(m.out.String(), 3000))
		default:
		}
		resp, err := http.Get("http://127.0.0.1:" + m.port + "/-/health/ready/")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return time.Since(began)
			}
		}
		if time.Since(began) > time.Minute {
			b.Fatalf("not ready: %s", tail(m.out.String(), 3000))
		}
	}
}

// tenants makes n tenants with a domain each, of which used have tables, as those have that were
// ever used: making a thousand schemas takes PostgreSQL minutes. They share a key: making a thousand takes minutes, too.
func (m *many) tenants(b *testing.B, used, n int) {
	b.Helper()
	master, err := keys.NewMaster([]byte(fleetSecret))
	if err != nil {
		b.Fatal(err)
	}
	pair, err := keys.Generate("rsa", core.SelfSignedKeyPair, nil, 24*time.Hour, time.Now())
	if err != nil {
		b.Fatal(err)
	}
	db, err := sqldb.Open(b.Context(), sqldb.Options{URL: m.database, Dir: m.data, Master: master, Mappings: expression.Defaults(),
		NewKeyPair: func() (*core.KeyPair, error) { one := *pair; return &one, nil }})
	if err != nil {
		b.Fatal(err)
	}
	for i := range used {
		id := core.TenantID(fmt.Sprint("t_used", i))
		if _, err := db.CreateTenant(b.Context(), id, fmt.Sprint("Tenant ", i)); err != nil {
			b.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		b.Fatal(err)
	}
	m.execute(b, fmt.Sprintf(`INSERT INTO domains (id, domain, is_primary, tenant_id)
		WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < %d) SELECT 1000000 + i, 'used' || i || '.example', 1 = 1, 't_used' || i FROM n`, used-1))
	if n > used {
		m.lines(b, n-used, n-used)
	}
}

// lines writes tenants and domains into the registry, without tables.
func (m *many) lines(b *testing.B, tenants, domains int) {
	b.Helper()
	m.execute(b,
		fmt.Sprintf(`INSERT INTO tenants (id, uuid, name, name_fold, ready, brand, created, updated)
			WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d)
			SELECT 't_line' || i, 'uuid of ' || i, 'Line ' || i, 'line ' || i, 1 = 1, '{}', 0, 0 FROM n`, tenants),
		fmt.Sprintf(`INSERT INTO domains (id, domain, is_primary, tenant_id)
			WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d)
			SELECT 2000000 + i, 'host' || i || '.example', i <= %[2]d, 't_line' || (1 + (i - 1) %% %[2]d) FROM n`, domains, tenants))
}

func (m *many) execute(b *testing.B, statements ...string) {
	b.Helper()
	driver, source := "sqlite", filepath.Join(m.data, "tenants", "public.db")
	if m.database != "sqlite" {
		driver, source = "pgx", m.database
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	for _, s := range statements {
		if _, err := db.Exec(s); err != nil {
			b.Fatal(err)
		}
	}
}

// first asks a tenant whose client that is, which nobody knows, and gives how long that took: its tables are
// opened for it.
func (m *many) first(b *testing.B, client *http.Client, host string) time.Duration {
	b.Helper()
	form := strings.NewReader("grant_type=refresh_token&refresh_token=none&client_id=nobody&client_secret=nothing")
	req, err := http.NewRequest(http.MethodPost, "http://127.0.0.1:"+m.port+"/application/o/token/", form)
	if err != nil {
		b.Fatal(err)
	}
	req.Host = host
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	began := time.Now()
	resp, err := client.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || !strings.Contains(string(body), `"invalid_client"`) {
		b.Fatalf("%s: %s %v %s", host, resp.Status, err, tail(string(body), 500))
	}
	return time.Since(began)
}

// handshake connects to a host, and gives how long that took and whether there was a certificate.
func (m *many) handshake(host string) (time.Duration, bool) {
	began := time.Now()
	conn, err := tls.Dial("tcp", "127.0.0.1:"+m.tls, &tls.Config{ServerName: host, InsecureSkipVerify: true})
	if err == nil {
		conn.Close()
	}
	return time.Since(began), err == nil
}

// goal reports a time in milliseconds, and how much of a goal it reaches: 100 and more is met.
func goal(b *testing.B, name string, took, most time.Duration) {
	b.ReportMetric(float64(took.Microseconds())/1000, "ms-"+name)
	b.ReportMetric(100*float64(most)/float64(took), name+"-%of-"+most.String())
}

func eachEngine(b *testing.B, f func(b *testing.B, database string)) {
	needBinary(b)
	b.Run("sqlite", func(b *testing.B) { f(b, "sqlite") })
	b.Run("postgres", func(b *testing.B) { f(b, newDatabase(b).String()) })
}

// BenchmarkThousandTenants starts the server with a thousand tenants (L-20) and asks each that was ever used
// for the first time: the goals are 2 s, 150 MB and 50 ms.
func BenchmarkThousandTenants(b *testing.B) {
	eachEngine(b, func(b *testing.B, database string) {
		m := newMany(b, database)
		used := 1000
		if database != "sqlite" {
			used = 40
		}
		m.tenants(b, used, 1000)
		var start time.Duration
		for b.Loop() {
			start = m.begin(b)
			time.Sleep(time.Second) // what the start leaves behind is collected
			b.ReportMetric(resident(b, m.cmd.Process.Pid), "MB-started")
			client := &http.Client{Transport: &http.Transport{}}
			var took []time.Duration
			for i := range used {
				took = append(took, m.first(b, client, fmt.Sprintf("used%d.example", i)))
			}
			slices.Sort(took)
			client.CloseIdleConnections()
			time.Sleep(time.Second)
			b.ReportMetric(resident(b, m.cmd.Process.Pid), "MB-all-used")
			goal(b, "first-median", took[len(took)/2], 50*time.Millisecond)
			goal(b, "first-p99", took[len(took)*99/100], 50*time.Millisecond)
			m.stop(b)
		}
		goal(b, "start", start, 2*time.Second)
		b.ReportMetric(0, "ns/op")
	})
}

// BenchmarkTenThousandHosts compares a server of ten thousand hosts, each with a certificate at its first visit,
// with one of ten: the start, a first visit, the next one, and one to a host that is nobody's.
func BenchmarkTenThousandHosts(b *testing.B) {
	eachEngine(b, func(b *testing.B, database string) {
		for _, hosts := range []int{10, 10_000} {
			b.Run(fmt.Sprint(hosts), func(b *testing.B) {
				if database != "sqlite" {
					database = newDatabase(b).String()
				}
				m := newMany(b, database)
				m.lines(b, 10, hosts)
				for b.Loop() {
					b.ReportMetric(float64(m.begin(b).Microseconds())/1000, "ms-start")
					took := map[string][]time.Duration{}
					for i := range 10 {
						for _, c := range []struct {
							what, host string
							ok         bool
						}{
							{"first-visit", fmt.Sprintf("host%d.example", hosts-i), true}, {"next-visit", fmt.Sprintf("host%d.example", hosts-i), true},
							{"refused", fmt.Sprintf("nobody%d.example", i), false},
						} {
							d, ok := m.handshake(c.host)
							if ok != c.ok {
								b.Errorf("%s: certificate %v", c.host, ok)
							}
							took[c.what] = append(took[c.what], d)
						}
					}
					for what, all := range took {
						slices.Sort(all)
						b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, "ms-"+what)
					}
					m.stop(b)
				}
				b.ReportMetric(0, "ns/op")
			})
		}
	})
}
