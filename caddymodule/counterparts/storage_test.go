package counterparts_test

import (
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-sso/postern/caddymodule/porttest"
)

// certNode is a node that joins with one URL and one secret.
type certNode struct {
	*process
	port, admin string
}

// joinCerts starts a node with hosts that get certificates as tls says. Without storage it keeps them
// in files of its own.
func joinCerts(t *testing.T, database *url.URL, storage, onDemand bool, issuer string, hosts ...string) *certNode {
	t.Helper()
	n := &certNode{port: porttest.Free(t), admin: porttest.Free(t)}
	store, demand := "", ""
	if storage {
		store = "storage postern"
	}
	if onDemand {
		demand = "on_demand"
	}
	var sites []string
	for _, h := range hosts {
		sites = append(sites, "https://"+h+":"+n.port)
	}
	path := filepath.Join(t.TempDir(), "Caddyfile")
	config := fmt.Sprintf(`{
	admin localhost:%s
	%s
	skip_install_trust
	auto_https disable_redirects
	http_port %s
	on_demand_tls {
		permission postern
	}
	postern {
		origin %s
		data %s
		database %s
		secret {env.FLEET_SECRET}
	}
}
%s {
	tls {
		%s
		%s
	}
	postern
}
`, n.admin, store, porttest.Free(t), sites[0], t.TempDir(), database, strings.Join(sites, ", "), demand, issuer)
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	env := []string{"FLEET_SECRET=" + fleetSecret, "XDG_DATA_HOME=" + t.TempDir(), "XDG_CONFIG_HOME=" + t.TempDir()}
	n.process = run(t, env, counterpart(t, "POSTERN_TEST_CADDY"), "run", "--config", path, "--adapter", "caddyfile")
	n.answers(t, "http://localhost:"+n.admin+"/postern/health", http.StatusOK, http.StatusNotFound)
	return n
}

// certificate is the chain with which a host is served; it waits for a node that has just begun.
func (n *certNode) certificate(host string) ([]*x509.Certificate, error) {
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		conn, err := tls.DialWithDialer(&net.Dialer{Timeout: time.Minute}, "tcp", "127.0.0.1:"+n.port, &tls.Config{ServerName: host, InsecureSkipVerify: true}) // its own authority
		if err == nil {
			defer conn.Close()
			return conn.ConnectionState().PeerCertificates, nil
		}
		if time.Now().After(deadline) {
			return nil, err
		}
	}
}

// root is that of the node's internal authority.
func (n *certNode) root(t *testing.T) string {
	t.Helper()
	resp, err := http.Get("http://localhost:" + n.admin + "/pki/ca/local")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var ca struct {
		Root string `json:"root_certificate"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&ca); err != nil || ca.Root == "" {
		t.Fatalf("%s: %v", resp.Status, err)
	}
	return ca.Root
}

// different counts the hosts that two nodes serve with different certificates, when both are asked for
// all of them at once.
func different(t *testing.T, hosts []string, nodes ...*certNode) (n int) {
	t.Helper()
	serials := make([][]string, len(hosts))
	var wg sync.WaitGroup
	for i, host := range hosts {
		serials[i] = make([]string, len(nodes))
		for j, node := range nodes {
			wg.Go(func() {
				chain, err := node.certificate(host)
				if err != nil {
					t.Errorf("%s: %v", host, err)
					return
				}
				serials[i][j] = chain[0].SerialNumber.String()
			})
		}
	}
	wg.Wait()
	for _, s := range serials {
		if s[0] != s[1] {
			n++
		}
	}
	return n
}

// Two nodes that share a database share what Caddy keeps: one root, and one certificate for each host,
// though both are asked for it at the same moment.
func TestNodesShareCertificates(t *testing.T) {
	database := newDatabase(t)
	var hosts []string
	for i := range 8 {
		hosts = append(hosts, fmt.Sprintf("h%d.localhost", i))
	}
	one := joinCerts(t, database, true, true, "issuer internal", hosts...)
	two := joinCerts(t, database, true, true, "issuer internal", hosts...)
	ran(t, "caddy")
	ran(t, "postgresql")
	root := one.root(t)
	if two.root(t) != root {
		t.Error("each node has a root of its own")
	}
	if n := different(t, hosts, one, two); n != 0 {
		t.Errorf("%d of %d hosts have two certificates", n, len(hosts))
	}
	chain, err := two.certificate(hosts[0])
	if err != nil {
		t.Fatal(err)
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(root))
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	if _, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, DNSName: hosts[0]}); err != nil {
		t.Error(err)
	}
	// Control: nodes that share no storage each make their own.
	apart := joinCerts(t, database, false, true, "issuer internal", hosts...)
	if n := different(t, hosts[:2], one, apart); n != 2 || apart.root(t) == root {
		t.Errorf("without storage postern %d of 2 hosts have two certificates", n)
	}
}

// A node that is killed while it orders a certificate delays another one for its lease: while it lives,
// and its authority takes its time, the other one waits.
func TestKilledWhileItOrdersACertificate(t *testing.T) {
	const host, lock = "slow.localhost", "issue_cert_slow.localhost"
	database := newDatabase(t)
	asked := make(chan struct{})
	l, err := net.Listen("tcp", "127.0.0.1:0") // ACME, whose answer never comes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for i := 0; ; i++ {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if i == 0 {
				close(asked)
			}
			t.Cleanup(func() { conn.Close() })
		}
	}()
	one := joinCerts(t, database, true, false, "issuer acme {\n\t\t\tdir http://"+l.Addr().String()+"/directory\n\t\t}", host)
	two := joinCerts(t, database, true, true, "issuer internal", host)
	ran(t, "caddy")
	ran(t, "postgresql")
	select {
	case <-asked:
	case <-time.After(time.Minute):
		t.Fatal("the authority was never asked")
	}
	db, err := sql.Open("pgx", database.String())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	ends := func() (owner string, at int64) {
		t.Helper()
		if err := db.QueryRow(`SELECT owner, expires FROM caddy_locks WHERE name = $1`, lock).Scan(&owner, &at); err != nil {
			t.Fatal(err)
		}
		return owner, at
	}
	served := make(chan error, 1)
	go func() {
		_, err := two.certificate(host)
		served <- err
	}()
	holder, first := ends()
	for deadline, at := time.Now().Add(time.Minute), first; at == first; time.Sleep(50 * time.Millisecond) {
		if _, at = ends(); time.Now().After(deadline) {
			t.Fatal("the lock is not kept")
		}
	}
	select {
	case err := <-served:
		t.Fatalf("control: the other node did not wait: %v", err)
	default:
	}
	if still, _ := ends(); still != holder {
		t.Fatal("the lock was taken from who has it")
	}
	if err := one.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-one.done
	killed := time.Now()
	select {
	case err := <-served:
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("served %s after the other node was killed", time.Since(killed).Round(100*time.Millisecond))
	case <-time.After(2 * time.Minute):
		t.Fatal("a node that is dead is waited for")
	}
}
