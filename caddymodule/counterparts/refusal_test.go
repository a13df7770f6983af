package counterparts_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// refusal is a configuration that a running server must not take.
type refusal struct {
	name    string
	config  string
	json    bool
	want    []string // in what the operator reads: the setting, and what would be right
	without string   // not in it
}

// reloadWith runs `caddy reload` on a configuration and returns what it printed and its exit code.
func (p *postern) reloadWith(t *testing.T, config string, json bool) (string, int) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "Caddyfile")
	args := []string{"reload", "--force", "--address", "localhost:" + p.admin}
	if json {
		file += ".json"
	} else {
		args = append(args, "--adapter", "caddyfile")
	}
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(counterpart(t, "POSTERN_TEST_CADDY"), append(args, "--config", file)...)
	cmd.Env = append(os.Environ(), p.env...)
	timer := time.AfterFunc(60*time.Second, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	out, _ := cmd.CombinedOutput()
	// Caddy prints an answer in JSON within a line of JSON.
	return strings.ReplaceAll(string(out), `\`, ""), cmd.ProcessState.ExitCode()
}

// mismatched writes a key and a certificate of another key.
func mismatched(t *testing.T) (certificate, key string) {
	t.Helper()
	dir := t.TempDir()
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for range 2 {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"x.test"}, NotAfter: time.Now().Add(time.Hour)}
		der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
		if err != nil {
			t.Fatal(err)
		}
		private, err := x509.MarshalPKCS8PrivateKey(k)
		if err != nil {
			t.Fatal(err)
		}
		if certificate == "" {
			certificate = write("certificate", "CERTIFICATE", der)
		}
		key = write("key", "PRIVATE KEY", private)
	}
	return certificate, key
}

// L-02: a configuration that is wrong is refused as a whole, wherever it fails: when it is read, when its
// modules are provisioned, when the stores are opened, when something else of it starts. What the
// operator reads names the setting and what would be right; the configuration before goes on, with everybody
// inside; nothing of the other stays open.
func TestRefusedReloads(t *testing.T) {
	g := newGuarded(t)
	p := startGuarded(t, g, t.TempDir(), "")
	c := newCrowd(t, p, "http://app.localhost:"+p.port)
	b := c.person()
	echo, end := b.socket(p)
	defer end()
	text, err := os.ReadFile(p.caddyfile)
	if err != nil {
		t.Fatal(err)
	}
	good := string(text)
	changed := func(pairs ...string) string {
		t.Helper()
		out := good
		for i := 0; i < len(pairs); i += 2 {
			if !strings.Contains(out, pairs[i]) {
				t.Fatalf("%q is not in the Caddyfile", pairs[i])
			}
			out = strings.Replace(out, pairs[i], pairs[i+1], 1)
		}
		return out
	}
	data := "data " + p.data + "\n"
	option := func(line string) string { return changed(data, data+"\t\t"+line+"\n") }
	guard := func(line string) string { return changed("postern_auth\n", "postern_auth {\n\t\t"+line+"\n\t}\n") }
	elsewhere := filepath.Join(t.TempDir(), "data")
	other := func(pairs ...string) string {
		return changed(append([]string{data, "data " + elsewhere + "\n"}, pairs...)...)
	}
	site := func(lines string) []string {
		return []string{"http://:" + p.port + " {", lines + "\nhttp://:" + p.port + " {"}
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0") // held, so nobody else's
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, busy, _ := net.SplitHostPort(taken.Addr().String())
	inUse := "http://127.0.0.1:" + busy + " {\n\tbind 127.0.0.1\n\trespond x\n}\n"
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	readable := filepath.Join(t.TempDir(), "readable")
	garbage := filepath.Join(t.TempDir(), "garbage")
	for path, content := range map[string]string{readable + "/secret": strings.Repeat("s", 64), garbage + "/tenants/public.db": strings.Repeat("no database ", 500), garbage + "/secret": strings.Repeat("s", 64)} {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(readable+"/secret", 0o644); err != nil {
		t.Fatal(err)
	}
	certificate, key := mismatched(t)
	json := func(app, guard, portal string) string {
		return `{"admin": {"listen": "localhost:` + p.admin + `"}, "apps": {"postern": {"data": "` + p.data + `"` + app + `}, "http": {"servers": {"s": {"listen": [":` + p.port + `"],
			"routes": [{"match": [{"host": ["app.localhost"]}], "handle": [{"handler": "postern_auth"` + guard + `}]}, {"handle": [{"handler": "postern"` + portal + `}]}]}}}}}`
	}

	bad := []refusal{
		// When it is read.
		{"unknown option", option("origins https://x.test"), false, []string{`no option "origins"`, "it has origin, data", "Caddyfile:6"}, ""},
		{"option twice", option("origin https://x.test\n\t\torigin https://y.test"), false, []string{"origin is set twice", "Caddyfile:7"}, ""},
		{"origin", option("origin x.test/path"), false, []string{`origin "x.test/path"`, "https://auth.example.com", "Caddyfile:6"}, ""},
		{"duration", option("revocation_staleness soon"), false, []string{`revocation_staleness "soon"`, "60s", "Caddyfile:6"}, ""},
		{"lead", option("key_lead 1s"), false, []string{"key_lead 1s", "5m0s to 720h0m0s", "Caddyfile:6"}, ""},
		{"short secret", option("secret short"), false, []string{"secret has 5 bytes", "openssl rand", "Caddyfile:6"}, "short secret"},
		{"database of another kind", option("database mysql://a:hunter2@db/x"), false, []string{"database mysql", "write sqlite, or a postgres:// URL", "Caddyfile:6"}, "hunter2"},
		{"network", option("outbound_private 10.0.0.1"), false, []string{`outbound_private "10.0.0.1"`, "10.0.0.0/8", "Caddyfile:6"}, ""},
		{"media", option("media ftp"), false, []string{`media "ftp" is not known`, "media file <directory>", "Caddyfile:6"}, ""},
		{"guard's option", guard("allow_users alice"), false, []string{`no option "allow_users"`, "allow_groups", "Caddyfile:11"}, ""},
		{"guard's headers", guard("headers x-forwarded"), false, []string{`headers "x-forwarded"`, "authentik, remote or none", "Caddyfile:11"}, ""},
		{"guard's path", guard("skip_path ^/(public"), false, []string{`skip_path "^/(public"`, "missing closing )", "Caddyfile:11"}, ""},
		{"guard's group", guard(`allow_groups ""`), false, []string{"allow_groups: a group's name is empty", "Caddyfile:11"}, ""},
		{"guard's tenant", guard("tenant T_other"), false, []string{`tenant "T_other" is not the name of one`, "such as t_acme", "Caddyfile:11"}, ""},
		{"no end", good + "x.test {\n", false, []string{"Caddyfile:"}, ""},
		// When modules are provisioned.
		{"variable", option("secret {env.POSTERN_NO_SUCH_VARIABLE}"), false, []string{"secret: ", "POSTERN_NO_SUCH_VARIABLE", "is the variable set"}, ""},
		{"file", option("secret file:///no/such/file"), false, []string{"secret: open /no/such/file: no such file"}, ""},
		{"bucket", option("media s3"), false, []string{"media s3: bucket is missing", "write the bucket's name"}, ""},
		{"JSON setting", json(`, "origins": "https://x.test"`, "", ""), true, []string{`postern: "origins" is no setting: there are origin, data`}, ""},
		{"JSON duration", json(`, "revocation_staleness": "soon"`, "", ""), true, []string{`postern: revocation_staleness: want a duration, such as "60s"`}, ""},
		{"JSON negative duration", json(`, "revocation_staleness": -5`, "", ""), true, []string{`revocation_staleness -5ns is negative: write for example 60s`}, ""},
		{"JSON boolean", json(`, "strict_hosts": "yes"`, "", ""), true, []string{`postern: strict_hosts: want true or false, and not a string`}, ""},
		{"JSON text", json(`, "secret": 12345`, "", ""), true, []string{`postern: secret: want a text, and not a number`}, "12345"},
		{"JSON block", json(`, "media": {"path": "x"}`, "", ""), true, []string{`postern: media: json: unknown field "path"`}, ""},
		{"JSON guard's setting", json("", `, "header": "x"`, ""), true, []string{`route 0`, `http.handlers.postern_auth: "header" is no setting: there are tenant, application`}, ""},
		{"JSON guard's list", json("", `, "allow_groups": "x"`, ""), true, []string{`http.handlers.postern_auth: allow_groups: want a list of texts, and not a string`}, ""},
		{"JSON guard's path", json("", `, "skip_path": ["x"]`, ""), true, []string{`skip_path "x"`, "begins with ^"}, ""},
		{"JSON portal's setting", json("", "", `, "origin": "x"`), true, []string{`http.handlers.postern: "origin" is no setting`}, ""},
		{"certificate that is absent", other(site("https://x.test {\n\tbind 127.0.0.1\n\ttls /no/such.pem /no/such.key\n\tpostern\n}\n")...), false, []string{"/no/such.pem: no such file"}, ""},
		{"certificate of another key", other(site("https://x.test {\n\tbind 127.0.0.1\n\ttls " + certificate + " " + key + "\n\tpostern\n}\n")...), false, []string{"private key does not match"}, ""},
		// When the stores are opened.
		{"nobody can log in", strings.Replace(good, "\tpostern\n", "\trespond x\n", 1), false, []string{"add `postern` to a site"}, ""},
		{"other secret", option("secret 0123456789012345678901234567890123456789"), false, []string{"secret: this server has " + p.data + " open with another one", "key rewrap"}, "0123456789012345"},
		{"PostgreSQL that is not there", option("database postgres://u:hunter2@127.0.0.1:1/x?sslmode=disable"), false, []string{"database: ", "127.0.0.1:1", "look whether PostgreSQL runs there"}, "hunter2"},
		{"directory below a file", changed(data, "data "+file+"/data\n"), false, []string{"data: ", file, "name a directory in which the user of this server"}, ""},
		{"directory that cannot be made", changed(data, "data /proc/postern\n"), false, []string{"data: ", "/proc/postern", "name a directory in which the user of this server"}, ""},
		{"secret that all can read", changed(data, "data "+readable+"\n"), false, []string{readable + "/secret", "chmod 600"}, ""},
		{"no database", changed(data, "data "+garbage+"\n"), false, []string{"data: ", "not a database"}, ""},
		// When something else of it starts, after the stores were opened.
		{"port in use", changed(site(inUse)...), false, []string{"127.0.0.1:" + busy, "address already in use"}, ""},
		{"port in use, another directory", other(site(inUse)...), false, []string{"127.0.0.1:" + busy, "address already in use"}, ""},
	}
	if u := os.Getenv("POSTERN_TEST_POSTGRES"); u != "" {
		missing := strings.Replace(u, "/postgres?", "/postern_no_such_database?", 1)
		bad = append(bad, refusal{"database that is absent", option("database " + missing), false, []string{"database: ", `"postern_no_such_database" does not exist`, "createdb"}, ""})
		ran(t, "postgresql")
	}
	before := p.footprint(t)
	tried := 0
	refused := func(r refusal) {
		t.Helper()
		tried++
		out, code := p.reloadWith(t, r.config, r.json)
		if code == 0 {
			t.Fatalf("%s: it was taken", r.name)
		}
		for _, want := range r.want {
			if !strings.Contains(out, want) {
				t.Errorf("%s: %q is not in what it says:\n%s", r.name, want, tail(out, 1200))
			}
		}
		if r.without != "" && strings.Contains(out, r.without) {
			t.Errorf("%s: what it says holds %q", r.name, r.without)
		}
		page := b.open(c.app + "/fast")
		if page.body != "for alice" || page.header.Get("X-Load") != "" {
			t.Errorf("%s: afterwards a page is %d %q", r.name, page.status, tail(page.body, 300))
		}
		if err := echo(r.name); err != nil {
			t.Fatalf("%s: the websocket: %v", r.name, err)
		}
	}
	for _, r := range bad {
		refused(r)
	}
	// Those that were opened before they failed, again and again.
	for range 10 {
		for _, r := range bad {
			switch r.name {
			case "other secret", "no database", "certificate of another key", "port in use", "port in use, another directory", "database that is absent":
				refused(r)
			}
		}
	}
	after, grown := p.settled(t, before, 0)
	t.Logf("%d reloads refused; before: %v; after: %v", tried, before, after)
	if grown != "" {
		t.Errorf("%s grow with reloads that were refused", grown)
	}
	c.person() // somebody new

	// What the directory does not have yet is no error, as it may be made later: the log says so, and nobody is
	// let in.
	for line, said := range map[string]string{"application nosuch": "names an application that does not exist", "allow_groups nosuch": "names a group that does not exist"} {
		if out, code := p.reloadWith(t, guard(line), false); code != 0 {
			t.Errorf("%s: %s", line, out)
		}
		p.tells(t, said)
		if page := b.open(c.app + "/fast"); page.status == http.StatusOK || strings.Contains(page.body, "for alice") {
			t.Errorf("%s: alice is let in: %d %s", line, page.status, tail(page.body, 300))
		}
	}
	p.load(t, 0)
	if page := b.open(c.app + "/fast"); page.body != "for alice" {
		t.Errorf("without it, alice is not let in: %d", page.status)
	}

	// The data of the refused configuration is nobody's, and once another one is taken, so is that of
	// the one before: the commands open what no server has open.
	q := *p
	q.caddyfile = filepath.Join(t.TempDir(), "Caddyfile")
	write := func(config string) {
		if err := os.WriteFile(q.caddyfile, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(strings.Replace(other(), "admin localhost:"+p.admin, "admin off", 1))
	if out := q.command(t, "user", "list"); !strings.Contains(out, "akadmin") {
		t.Errorf("the other directory: %s", out)
	}
	// The control: a configuration that is right is taken, and shows.
	if out, code := p.reloadWith(t, other("postern_auth\n", "postern_auth\n\theader X-Load 1\n"), false); code != 0 {
		t.Fatalf("control: what is right is refused: %s", out)
	}
	resp, err := http.Get("http://localhost:" + p.port + "/-/health/ready/")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	write(strings.Replace(good, "admin localhost:"+p.admin, "admin off", 1))
	end()
	eventually(t, "the directory before is let go of", func() bool {
		cmd := exec.Command(counterpart(t, "POSTERN_TEST_CADDY"), "postern", "user", "list", "--config", q.caddyfile)
		cmd.Env = append(os.Environ(), p.env...)
		out, err := cmd.CombinedOutput()
		return err == nil && strings.Contains(string(out), "alice")
	})
}
