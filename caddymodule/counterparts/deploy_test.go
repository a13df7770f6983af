package counterparts_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-sso/postern/caddymodule"
	"github.com/postern-sso/postern/caddymodule/porttest"
)

const deployed = "../../deploy/"

func readText(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var (
	caddyfileVariable = regexp.MustCompile(`\{\$(\w+)(:?)`)
	credentialFile    = regexp.MustCompile(`\{file\.\{\$POSTERN_CREDENTIALS:/run/secrets\}/(\w+)\}`)
)

// What deploy/ says of images, ports, paths, variables and secrets agrees with the product, the Dockerfile and itself.
func TestDeployAgrees(t *testing.T) {
	node, docker := readText(t, deployed+"Caddyfile"), readText(t, "../../Dockerfile")
	base := regexp.MustCompile(`FROM caddy:(\S+)\n`).FindStringSubmatch(docker)[1]
	known := map[string]bool{} // variables of a node; true: it cannot do without
	for _, m := range caddyfileVariable.FindAllStringSubmatch(node, -1) {
		known[m[1]] = m[2] == ""
	}
	var files []string
	for _, m := range credentialFile.FindAllStringSubmatch(node, -1) {
		files = append(files, m[1])
	}
	slices.Sort(files)
	if fmt.Sprint(files) != "[database s3_access_key s3_secret_key secret sessions]" || !known["POSTERN_S3_ENDPOINT"] || !known["POSTERN_ORIGIN"] || known["POSTERN_PORT"] {
		t.Fatalf("read wrongly: %v, %v", files, known)
	}
	sets := func(where string, given []string) {
		t.Helper()
		for name, needed := range known {
			if needed && !slices.Contains(given, name) {
				t.Errorf("%s does not set %s", where, name)
			}
		}
		for _, name := range given {
			if _, ok := known[name]; strings.HasPrefix(name, "POSTERN_") && !ok {
				t.Errorf("%s sets %s, which deploy/Caddyfile does not read", where, name)
			}
		}
	}
	const image = "postern:" + caddymodule.Version

	c := strictly[compose](t, deployed+"compose/compose.yaml")[0]
	p := c.Services["postern"]
	var given []string
	for name := range p.Environment {
		given = append(given, name)
	}
	sets("compose.yaml", given)
	edge, store := c.Services["edge"], c.Services["media"]
	if edge.Image != image || p.Image != image || !strings.HasSuffix(docker, "FROM caddy:"+strings.TrimSuffix(base, "-builder")+"\nCOPY --from=builder /usr/bin/caddy /usr/bin/caddy\n") {
		t.Errorf("the images are %s and %s", edge.Image, p.Image)
	}
	var keys []string
	for _, m := range credentialFile.FindAllStringSubmatch(readText(t, deployed+"compose/edge.Caddyfile"), -1) {
		keys = append(keys, m[1])
	}
	if slices.Sort(keys); !slices.Equal(keys, slices.Sorted(slices.Values(edge.Secrets))) || edge.Environment["POSTERN_HOST"] == "" {
		t.Errorf("the edge reads %v and is given %v", keys, edge.Secrets)
	}
	// The root of the store is nobody's but its own and of what makes the nodes' keys.
	const root = "s3_root_password"
	user := c.Services["media-user"]
	if script := strings.Join(user.Command, ""); store.Environment["MINIO_ROOT_PASSWORD_FILE"] != root || !slices.Equal(store.Secrets, []string{root}) || slices.Contains(p.Secrets, root) || slices.Contains(edge.Secrets, root) ||
		!slices.Equal(user.Secrets, []string{"s3_access_key", "s3_secret_key", root}) || user.Image != store.Image || !strings.Contains(script, "http://"+store.Environment["MINIO_ROOT_USER"]+":$$(cat /run/secrets/"+root+")@media:9000") ||
		!strings.Contains(script, "mc admin policy attach media postern --user") || !strings.Contains(fmt.Sprint(user.Volumes), "/media-policy.json:ro") {
		t.Errorf("the keys of the store: %+v, %+v", store, user)
	}
	if len(store.Ports) > 0 || !slices.Equal(store.Networks, []string{"back"}) {
		t.Errorf("browsers may reach the store: %v, %v", store.Ports, store.Networks)
	}
	if !strings.Contains(p.Environment["POSTERN_S3_ENDPOINT"], "http://media:9000") {
		t.Errorf("pictures are at %s", p.Environment["POSTERN_S3_ENDPOINT"])
	}
	if _, err := os.Stat(filepath.Join(deployed, "compose", p.Build.Context, "Dockerfile")); err != nil {
		t.Error(err)
	}
	if slices.Sort(p.Secrets); !slices.Equal(p.Secrets, files) || !p.ReadOnly || strings.HasPrefix(p.User, "0") || !slices.Contains(p.CapDrop, "ALL") || len(p.Ports) > 0 {
		t.Errorf("a node of compose: %+v", p)
	}
	if !c.Networks["back"].Internal || !strings.Contains(strings.Join(p.Healthcheck.Test, " "), "http://127.0.0.1:8080/-/health/ready/") {
		t.Errorf("compose: %+v, %v", c.Networks, p.Healthcheck.Test)
	}
	for name, s := range c.Services {
		if s.ReadOnly && !slices.ContainsFunc(s.Tmpfs, func(at string) bool {
			return strings.HasPrefix(at, "/tmp:size=") && strings.HasSuffix(at, ",mode=1777")
		}) {
			t.Errorf("%s has a read-only root, and no bounded /tmp that anybody may write to: %v", name, s.Tmpfs)
		}
		for _, used := range s.Secrets {
			if f := c.Secrets[used].File; f != "./secrets/"+used {
				t.Errorf("the secret %s of %s is in %q", used, name, f)
			}
		}
		for _, v := range s.Volumes {
			if from, _, _ := strings.Cut(v, ":"); strings.HasPrefix(from, ".") {
				readText(t, filepath.Join(deployed, "compose", from))
			} else if _, ok := c.Volumes[from]; !ok {
				t.Errorf("%s has the volume %s, which is none", name, from)
			}
		}
	}

	// The files that the README's recipe makes are those that compose takes.
	_, recipe, _ := strings.Cut(readText(t, "../../README.md"), "\n### Many nodes\n")
	_, recipe, _ = strings.Cut(recipe, "```sh\n")
	recipe, _, _ = strings.Cut(recipe, "```")
	cmd := exec.Command("sh", "-ec", recipe)
	cmd.Dir = t.TempDir()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("the recipe: %v\n%s", err, out)
	}
	made := func(name string) string {
		return strings.TrimSpace(readText(t, filepath.Join(cmd.Dir, "deploy/compose/secrets", name)))
	}
	for name := range c.Secrets {
		if len(made(name)) < 32 {
			t.Errorf("the recipe makes of %s: %q", name, made(name))
		}
	}
	for name, want := range map[string]string{"database": ":" + made("postgres_password") + "@postgres/", "sessions": ":" + made("redis_password") + "@redis:"} {
		if _, ok := c.Services[regexp.MustCompile(`\w+`).FindString(want[strings.Index(want, "@"):])]; !ok || !strings.Contains(made(name), want) {
			t.Errorf("%s is %q", name, made(name))
		}
	}

	kinds := map[string]manifest{}
	for _, m := range strictly[manifest](t, deployed+"kubernetes/postern.yaml") {
		kinds[m.Kind] = m
		if m.Kind != "Namespace" && m.Metadata.Namespace != kinds["Namespace"].Metadata.Name {
			t.Errorf("%s is in the namespace %q", m.Kind, m.Metadata.Namespace)
		}
	}
	if len(kinds) != 6 || kinds["Secret"].Kind != "" {
		t.Errorf("there are %d kinds", len(kinds))
	}
	if kinds["ConfigMap"].Data["Caddyfile"] != node {
		t.Error("the Caddyfile of the ConfigMap is not deploy/Caddyfile")
	}
	spec := kinds["Deployment"].Spec.Template.Spec
	one := spec.Containers[0]
	given = nil
	for _, e := range one.Env {
		given = append(given, e.Name)
	}
	sets("postern.yaml", given)
	label := kinds["Deployment"].Spec.Template.Metadata.Labels["app"]
	for _, kind := range []string{"Deployment", "PodDisruptionBudget"} {
		var s selector
		n := kinds[kind].Spec.Selector
		if err := n.Decode(&s); err != nil || s.MatchLabels["app"] != label {
			t.Errorf("the %s is about %v: %v", kind, s.MatchLabels, err)
		}
	}
	var service labels
	n := kinds["Service"].Spec.Selector
	if err := n.Decode(&service); err != nil || service["app"] != label || kinds["NetworkPolicy"].Spec.PodSelector.MatchLabels["app"] != label {
		t.Errorf("the Service is about %v: %v", service, err)
	}
	if one.Image != image || one.Ports[0].ContainerPort != 8080 || kinds["Service"].Spec.Ports[0].TargetPort != one.Ports[0].Name {
		t.Errorf("the container: %s, %v", one.Image, one.Ports)
	}
	if sc := one.SecurityContext; !spec.SecurityContext.RunAsNonRoot || spec.SecurityContext.RunAsUser == 0 || !sc.ReadOnlyRootFilesystem || sc.AllowPrivilegeEscalation || spec.AutomountServiceAccountToken {
		t.Errorf("the pod may do more than it needs: %+v", spec)
	}

	mounted := ""
	for _, m := range one.VolumeMounts {
		if m.MountPath == "/tmp" && !m.ReadOnly {
			mounted = m.Name
		}
	}
	if !slices.ContainsFunc(spec.Volumes, func(v volume) bool {
		return v.Name == mounted && v.EmptyDir["sizeLimit"] != nil && v.EmptyDir["medium"] == "Memory"
	}) {
		t.Errorf("the pod has a read-only root, and no bounded /tmp: %v, %v", one.VolumeMounts, spec.Volumes)
	}

	// Nothing that is secret stands in any of the files.
	err := filepath.WalkDir(deployed, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if m := regexp.MustCompile(`(?i)(postgres|rediss?)://[^\s@]*:[^\s@{]+@|password:[ \t]+\S|stringData|secret:\s+"`).FindString(readText(t, path)); m != "" && !strings.HasPrefix(m, "postgres://user:password@") && !strings.HasPrefix(m, "rediss://user:password@") {
			t.Errorf("%s: %s", path, m)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// The unit is one that systemd takes, and agrees with deploy/Caddyfile. Where there is no systemd the test says so,
// and looks at the unit by itself.
func TestDeployUnit(t *testing.T) {
	text := readText(t, deployed+"systemd/postern.service")
	section, set := "", map[string][]string{}
	for i, line := range strings.Split(text, "\n") {
		name, value, ok := strings.Cut(line, "=")
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "["):
			section = line
		case !ok || section == "" || strings.ContainsAny(name, " \t"):
			t.Errorf("line %d is no setting: %s", i+1, line)
		default:
			set[section+name] = append(set[section+name], value)
		}
	}
	for name, want := range map[string]string{
		"[Service]Type": "[notify]", "[Service]DynamicUser": "[yes]", "[Service]ProtectSystem": "[strict]", "[Service]PrivateTmp": "[yes]", "[Service]StateDirectory": "[postern]",
		"[Service]NoNewPrivileges": "[yes]", "[Service]CapabilityBoundingSet": "[]", "[Service]Restart": "[on-failure]",
		"[Service]LoadCredential": "[secret:/etc/postern/credentials/secret database:/etc/postern/credentials/database sessions:/etc/postern/credentials/sessions s3_access_key:/etc/postern/credentials/s3_access_key s3_secret_key:/etc/postern/credentials/s3_secret_key]",
		"[Service]Environment":    "[POSTERN_CREDENTIALS=%d POSTERN_DATA=%S/postern HOME=%S/postern]",
	} {
		if got := fmt.Sprint(set[name]); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	program, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Log("systemd-analyze is not there: the unit was read by this test alone")
		return
	}
	unit := filepath.Join(t.TempDir(), "postern.service")
	text = strings.ReplaceAll(text, "/usr/local/bin/postern", counterpart(t, "POSTERN_TEST_CADDY"))
	for _, c := range []struct {
		key  string // in the place of ProtectSystem
		fine bool
	}{
		{"ProtectSystem", true}, {"ProtectSytem", false}, // the control
	} {
		text := strings.Replace(text, "ProtectSystem=", c.key+"=", 1)
		if err := os.WriteFile(unit, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(program, "verify", unit).CombinedOutput()
		if fine := err == nil && !strings.Contains(string(out), "postern.service"); fine != c.fine {
			t.Errorf("with %s: %v, %s", c.key, err, out)
		}
	}
}

// Two nodes as deploy/ starts them, behind the Caddy of deploy/compose: with the very files, the real binary, a real
// PostgreSQL, a real Redis and a real MinIO. The probes answer what they should, systemd is told when a node is ready, a picture
// and a brand of one node are the other's, a tenant's domain has a certificate at the edge, and a node that is gone is nobody's trouble.
func TestDeployedNodes(t *testing.T) {
	caddy := counterpart(t, "POSTERN_TEST_CADDY")
	database := newDatabase(t)
	redis, _ := recipeRedis(t)
	sessions := url.URL{Scheme: "redis", User: url.UserPassword("postern", redisPassword), Host: redis.Addr}
	credentials, store := t.TempDir(), startMinIO(t, nil)
	const mediaKey, mediaSecret = "postern-key", "postern-secret"
	store.mediaUser(t, mediaKey, mediaSecret)
	for name, value := range map[string]string{"secret": fleetSecret, "database": database.String(), "sessions": sessions.String(), "s3_access_key": mediaKey, "s3_secret_key": mediaSecret} {
		if err := os.WriteFile(filepath.Join(credentials, name), []byte(value+"\n"), 0o400); err != nil {
			t.Fatal(err)
		}
	}
	var m manifest
	for _, one := range strictly[manifest](t, deployed+"kubernetes/postern.yaml") {
		if one.Kind == "Deployment" {
			m = one
		}
	}
	pod := m.Spec.Template.Spec.Containers[0]

	ready := filepath.Join(t.TempDir(), "notify")
	told, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: ready, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer told.Close()
	var nodes []*postern
	for range 2 {
		p := &postern{port: porttest.Free(t), admin: porttest.Free(t), data: t.TempDir(), caddyfile: deployed + "Caddyfile"}
		p.env = append(bootstrapped(), "POSTERN_CREDENTIALS="+credentials, "POSTERN_S3_ENDPOINT=http://"+store.address, "POSTERN_ORIGIN=https://auth.example.com", "POSTERN_PORT="+p.port, "POSTERN_ADMIN_PORT="+p.admin,
			"POSTERN_DATA="+p.data, "HOME="+t.TempDir(), "NOTIFY_SOCKET="+ready)
		p.start(t)
		nodes = append(nodes, p)
		for what, probe := range map[string]probe{"startup": pod.StartupProbe, "readiness": pod.ReadinessProbe, "liveness": pod.LivenessProbe} {
			resp, err := http.Get("http://127.0.0.1:" + p.port + probe.HTTPGet.Path)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK || probe.HTTPGet.Port != pod.Ports[0].Name {
				t.Errorf("the %s probe at %s: %s", what, probe.HTTPGet.Path, resp.Status)
			}
		}
	}
	ran(t, "caddy")
	ran(t, "postgresql")
	ran(t, "redis")
	if err := told.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	for said := ""; !strings.Contains(said, "READY=1"); {
		more := make([]byte, 4096)
		n, err := told.Read(more)
		if err != nil {
			t.Fatalf("systemd was told %q, and then: %v", said, err)
		}
		said += string(more[:n])
	}
	if up := (&fleetNode{postern: nodes[0]}).redisUp(t); up != "1" {
		t.Errorf("Redis counts as %q", up)
	}

	// A brand that is made at one node is on the pages of the other, which had another one in memory.
	named := func(title string) bool {
		resp, err := http.Get(nodes[1].url() + "/if/flow/default-authentication-flow/")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		page, err := io.ReadAll(resp.Body)
		return err == nil && strings.Contains(string(page), "· "+title+"</title>")
	}
	if !named("Postern") {
		t.Error("control: the other node does not show the first brand")
	}
	nodes[0].api(t, http.MethodPost, "/core/brands/", `{"domain": "localhost", "branding_title": "Seen by all"}`, http.StatusCreated)
	t.Log("the brand was at the other node after", eventually(t, "the other node shows the brand", func() bool { return named("Seen by all") }))

	// So is a picture, in the bucket that the README's command makes.
	if status := nodes[0].uploads(t, "icon.png"); status != http.StatusServiceUnavailable {
		t.Errorf("control: without a bucket an upload is answered %d", status)
	}
	if out, err := nodes[0].media(t, "setup"); err != nil {
		t.Fatalf("media setup: %v\n%s", err, out)
	}
	eventually(t, "a picture is taken", func() bool { return nodes[0].uploads(t, "icon.png") == http.StatusOK })
	if _, status, content := nodes[1].picture(t, "icon.png"); status != http.StatusOK || !strings.HasPrefix(content, "\x89PNG") {
		t.Errorf("the picture at the other node: %d %q", status, tail(content, 200))
	}
	nodes[0].online(t, "tenant", "create", "t_acme", "--domain", "login.acme.example")

	// The edge, at a port of ours, and with addresses where compose has names.
	edge := readText(t, deployed+"compose/edge.Caddyfile")
	at, secure := porttest.Free(t), porttest.Free(t)
	moved := strings.Replace(edge, "\n{$POSTERN_HOST} {", "\nhttp://auth.example.com:"+at+" {", 1)
	moved = strings.Replace(moved, "admin off\n", "admin off\n\tskip_install_trust\n\thttp_port "+at+"\n\thttps_port "+secure+"\n", 1)
	moved = strings.Replace(moved, "on_demand\n", "issuer internal\n\t\ton_demand\n", 1)
	names := regexp.MustCompile(`(?s)dynamic a postern 8080 \{.*?\}`)
	if moved = names.ReplaceAllString(moved, "to 127.0.0.1:"+nodes[0].port+" 127.0.0.1:"+nodes[1].port); moved == edge || !strings.Contains(moved, "to 127.0.0.1") {
		t.Fatalf("the edge was moved nowhere: %s", moved)
	}
	file := filepath.Join(t.TempDir(), "Caddyfile")
	if err := os.WriteFile(file, []byte(moved), 0o600); err != nil {
		t.Fatal(err)
	}
	front := []string{"HOME=" + t.TempDir(), "POSTERN_HOST=auth.example.com", "POSTERN_DATA=" + t.TempDir(), "POSTERN_CREDENTIALS=" + credentials}
	run(t, front, caddy, "run", "--config", file, "--adapter", "caddyfile")
	ask := func() (int, string) {
		r, _ := http.NewRequest(http.MethodGet, "http://127.0.0.1:"+at+"/application/o/none/", nil)
		r.URL.Path, r.Host = "/api/v3/root/config/", "auth.example.com"
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			return 0, err.Error()
		}
		defer resp.Body.Close()
		return resp.StatusCode, resp.Header.Get("Via")
	}
	eventually(t, "the edge answers", func() bool { status, _ := ask(); return status == http.StatusOK })
	secured := func(host string) (int, error) {
		transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} // the name is looked at below
		transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, "127.0.0.1:"+secure)
		}
		resp, err := (&http.Client{Transport: transport}).Get("https://" + host + "/api/v3/root/config/")
		if err != nil {
			return 0, err
		}
		defer resp.Body.Close()
		return resp.StatusCode, resp.TLS.PeerCertificates[0].VerifyHostname(host)
	}
	eventually(t, "a tenant's domain has a certificate", func() bool {
		status, err := secured("login.acme.example")
		return status == http.StatusOK && err == nil
	})
	if status, err := secured("stranger.example"); err == nil {
		t.Errorf("control: nobody's host has a certificate, too: %d", status)
	}
	nodes[1].stop(t)
	for range 20 {
		if status, why := ask(); status != http.StatusOK {
			t.Fatalf("with one node less: %d %s", status, why)
		}
	}

	// As it stands, the edge is one that Caddy takes.
	for path, env := range map[string]string{"Caddyfile": "POSTERN_ORIGIN=https://auth.example.com POSTERN_S3_ENDPOINT=http://media:9000", "compose/edge.Caddyfile": "POSTERN_HOST=auth.example.com"} {
		cmd := exec.Command(caddy, "adapt", "--config", deployed+path, "--adapter", "caddyfile")
		cmd.Env = append(os.Environ(), strings.Fields(env)...)
		if out, err := cmd.CombinedOutput(); err != nil || strings.Contains(string(out), "warn") {
			t.Errorf("%s: %v\n%s", path, err, out)
		}
		if out, err := exec.Command(caddy, "fmt", "--diff", deployed+path).CombinedOutput(); err != nil || regexp.MustCompile(`(?m)^[-+]`).Match(out) {
			t.Errorf("%s is not formatted: %v\n%s", path, err, out)
		}
	}
}
