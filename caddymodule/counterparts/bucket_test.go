package counterparts_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"image"
	"image/png"
	"io"
	"io/fs"
	"mime/multipart"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// guide is the README's .env of S3, where https://s3.provider is a MinIO.
func (m *minioServer) guide(t testing.TB) []string {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "### Pictures in S3\n")
	_, rest, _ = strings.Cut(rest, "```ini\n")
	block, _, found := strings.Cut(rest, "```")
	if !found {
		t.Fatal("the README has no .env of S3")
	}
	block = strings.NewReplacer("https://s3.provider", "http://"+m.address, "s3.provider", m.address, "=access_key", "="+minioUser, "=secret_key", "="+minioPassword).Replace(block)
	env := []string{"AUTHENTIK_STORAGE__MEDIA__S3__SECURE_URLS=false"}
	for line := range strings.Lines(block) {
		if !strings.HasPrefix(line, "#") {
			env = append(env, strings.TrimSuffix(line, "\n"))
		}
	}
	return env
}

// aws runs the AWS CLI against a store.
func (m *minioServer) aws(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.Command(counterpart(t, "POSTERN_TEST_AWS"), append([]string{"--endpoint-url=http://" + m.address}, args...)...)
	cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID="+minioUser, "AWS_SECRET_ACCESS_KEY="+minioPassword, "AWS_DEFAULT_REGION=us-east-1", "HOME="+t.TempDir())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("aws %s: %v\n%s", strings.Join(args, " "), err, tail(string(out), 4000))
	}
}

// media runs `caddy postern media` with the configuration of a server.
func (p *postern) media(t *testing.T, args ...string) (string, error) {
	t.Helper()
	args = append(append([]string{"postern", "media"}, args...), "--config", p.caddyfile, "--adapter", "caddyfile", "--address", "localhost:"+p.admin)
	cmd := exec.Command(counterpart(t, "POSTERN_TEST_CADDY"), args...)
	cmd.Env = append(os.Environ(), p.env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		name, _ := strings.CutPrefix(path, dir+"/")
		out[name] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// The bucket is made by a command, and what `aws s3 sync` brings into it and out of it is what
// `media migrate` does, in either direction.
func TestBucketCommands(t *testing.T) {
	m := startMinIO(t, nil)
	ran(t, "caddy")
	ran(t, "awscli")
	p := startPostern(t, append(bootstrapped(), m.guide(t)...)...) // the bucket is not there yet
	if out, err := p.media(t, "setup", "--origin", "https://authentik.company"); err != nil || !strings.Contains(out, "The bucket authentik-media is made.") || !strings.Contains(out, "works.") || strings.Contains(out, minioPassword) {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := p.media(t, "setup"); err != nil || !strings.Contains(out, "The bucket authentik-media is there.") {
		t.Errorf("%v\n%s", err, out)
	}
	media := filepath.Join(t.TempDir(), "media")
	for name, content := range map[string]string{"public/application-icons/a.png": "A", "public/logo.svg": "<svg/>", "t_acme/application-icons/a.png": "acme's"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(media, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(media, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want := files(t, media)
	same := func(dir string) {
		t.Helper()
		got := files(t, dir)
		if len(got) != len(want) {
			t.Errorf("%s has %v", dir, got)
		}
		for name, content := range want {
			if got[name] != content {
				t.Errorf("%s/%s is %q", dir, name, got[name])
			}
		}
	}
	m.aws(t, "s3", "sync", media, "s3://authentik-media/media")
	ours := filepath.Join(t.TempDir(), "ours")
	if out, err := p.media(t, "migrate", "--to", ours); err != nil || !strings.Contains(out, "Copied and read again: 3 files") {
		t.Errorf("%v\n%s", err, out)
	}
	same(ours)
	m.aws(t, "s3", "rm", "--recursive", "s3://authentik-media/media")
	for _, said := range []string{"Copied and read again: 3 files, 13 bytes. The same already: 0.", "Copied and read again: 0 files, 0 bytes. The same already: 3."} {
		if out, err := p.media(t, "migrate", "--from", ours); err != nil || !strings.Contains(out, said) {
			t.Errorf("%v\n%s", err, out)
		}
	}
	theirs := filepath.Join(t.TempDir(), "theirs")
	m.aws(t, "s3", "sync", "s3://authentik-media/media", theirs)
	same(theirs)

	for said, args := range map[string][]string{
		"say --from <directory>":        {"migrate"},
		"--from: open /nowhere":         {"migrate", "--from", "/nowhere"},
		"--origin \"auth\": write":      {"setup", "--origin", "auth"},
		"there is no command \"setip\"": {"setip"},
	} {
		if out, err := p.media(t, args...); err == nil || !strings.Contains(out, said) {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
	p.env = append(p.env, "AUTHENTIK_STORAGE__MEDIA__S3__SECRET_KEY=wrong-wrong-wrong")
	if out, err := p.media(t, "setup"); err == nil || !strings.Contains(out, "the secret_key is not that of the access_key") {
		t.Errorf("%v\n%s", err, out)
	}
	p.env = append(p.env, "AUTHENTIK_STORAGE__MEDIA__BACKEND=file")
	if out, err := p.media(t, "setup"); err == nil || !strings.Contains(out, "the configuration keeps media in a directory") {
		t.Errorf("%v\n%s", err, out)
	}
}

// picture asks the API for the URL of a file, and whoever has it for the file.
func (p *postern) picture(t *testing.T, name string) (url string, status int, content string) {
	t.Helper()
	var all []struct{ Name, URL string }
	if status, text := p.call(t, http.MethodGet, "/admin/file/?search="+name, "", nil); status != http.StatusOK || json.Unmarshal([]byte(text), &all) != nil || len(all) != 1 {
		t.Fatalf("the list of %s: %d %s", name, status, text)
	}
	r, err := http.Get(all[0].URL)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return all[0].URL, r.StatusCode, string(b)
}

func (p *postern) call(t *testing.T, method, path, kind string, body io.Reader) (int, string) {
	t.Helper()
	r, err := http.NewRequest(method, p.url()+"/api/v3"+path, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+bootstrapToken)
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	b, err := io.ReadAll(a.Body)
	if err != nil {
		t.Fatal(err)
	}
	return a.StatusCode, string(b)
}

func (p *postern) uploads(t *testing.T, name string) int {
	t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, err := form.CreateFormFile("file", name)
	if err == nil {
		err = png.Encode(part, image.NewGray(image.Rect(0, 0, 2, 2)))
	}
	if err := errors.Join(err, form.WriteField("name", name), form.Close()); err != nil {
		t.Fatal(err)
	}
	status, text := p.call(t, http.MethodPost, "/admin/file/", form.FormDataContentType(), &body)
	if status != http.StatusOK {
		t.Logf("upload of %s: %d %s", name, status, text)
	}
	return status
}

// What is uploaded into a bucket that was made as authentik's guide says is shown by URLs of the bucket's domain, or of ours,
// while the store is away as far as it was fetched (L-11), and after `aws s3 sync` by a server that has a directory.
func TestBucketServes(t *testing.T) {
	m := startMinIO(t, nil)
	ran(t, "caddy")
	there := startPostern(t, append(bootstrapped(), m.guide(t)...)...)
	m.aws(t, "s3api", "create-bucket", "--bucket=authentik-media", "--acl=private")
	for _, name := range []string{"application-icons/a.png", "application-icons/b.png"} {
		if status := there.uploads(t, name); status != http.StatusOK {
			t.Fatal("it is not kept")
		}
	}
	url, status, content := there.picture(t, "a.png")
	if !strings.HasPrefix(url, "http://"+m.address+"/authentik-media/media/public/application-icons/a.png?X-Amz-Algorithm=") || status != http.StatusOK || !strings.HasPrefix(content, "\x89PNG") {
		t.Errorf("%s: %d %q", url, status, tail(content, 300))
	}
	if r, err := http.Get(strings.Split(url, "?")[0]); err != nil || r.StatusCode != http.StatusForbidden {
		t.Errorf("without its signature: %v, %v", r.Status, err)
	} else {
		r.Body.Close()
	}
	brand, _ := there.first(t, "/core/brands/")["brand_uuid"].(string)
	there.api(t, http.MethodPatch, "/core/brands/"+brand+"/", `{"branding_logo":"application-icons/a.png"}`, http.StatusOK)
	page, err := http.Get(there.url() + "/if/flow/default-authentication-flow/")
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(page.Body)
	page.Body.Close()
	if policy := page.Header.Get("Content-Security-Policy"); err != nil || !strings.Contains(string(text), m.address+"/authentik-media/media/public/application-icons/a.png?X-Amz-") || !strings.Contains(policy, "http://"+m.address) {
		t.Errorf("the page does not show it: %s, %v\n%s", policy, err, tail(string(text), 2000))
	}

	here := startPostern(t, append(append(bootstrapped(), m.guide(t)...), "AUTHENTIK_STORAGE__MEDIA__S3__CUSTOM_DOMAIN=")...)
	if url, status, same := here.picture(t, "a.png"); !strings.HasPrefix(url, here.url()+"/files/media/public/application-icons/a.png?token=") || status != http.StatusOK || same != content {
		t.Errorf("%s: %d %q", url, status, tail(same, 300))
	}
	pictures := map[string]string{}
	for _, name := range []string{"a.png", "b.png"} {
		var all []struct{ URL string }
		_, text := here.call(t, http.MethodGet, "/admin/file/?search="+name, "", nil)
		if err := json.Unmarshal([]byte(text), &all); err != nil || len(all) != 1 {
			t.Fatalf("%s: %v", text, err)
		}
		pictures[name] = all[0].URL
	}
	m.stop(t)
	for _, c := range []struct {
		url  string
		want int
	}{
		{pictures["a.png"], http.StatusOK},
		{pictures["b.png"], http.StatusServiceUnavailable},
		{here.url() + "/if/flow/default-authentication-flow/", http.StatusOK},
		{here.url() + "/-/health/ready/", http.StatusOK},
		{there.url() + "/if/flow/default-authentication-flow/", http.StatusOK},
	} {
		r, err := http.Get(c.url)
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if r.StatusCode != c.want {
			t.Errorf("without S3, %s: %s, want %d", c.url, r.Status, c.want)
		}
	}
	if status := here.uploads(t, "application-icons/c.png"); status != http.StatusServiceUnavailable {
		t.Errorf("without S3, an upload: %d", status)
	}
	startMinIO(t, m)
	for end := time.Now().Add(30 * time.Second); here.uploads(t, "application-icons/c.png") != http.StatusOK; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("S3 is back, and uploads are not")
		}
	}

	media := filepath.Join(t.TempDir(), "media")
	m.aws(t, "s3", "sync", "s3://authentik-media/media", media)
	file := startPostern(t, append(bootstrapped(), "AUTHENTIK_STORAGE__MEDIA__FILE__PATH="+media)...)
	for _, name := range []string{"a.png", "b.png", "c.png"} {
		if url, status, same := file.picture(t, name); !strings.HasPrefix(url, file.url()+"/files/") || status != http.StatusOK || same != content {
			t.Errorf("%s: %d %q", url, status, tail(same, 300))
		}
	}
	if status := file.uploads(t, "application-icons/d.png"); status != http.StatusOK {
		t.Error("the directory takes nothing")
	}
	m.aws(t, "s3", "sync", media, "s3://authentik-media/media")
	if url, status, _ := there.picture(t, "d.png"); status != http.StatusOK {
		t.Errorf("%s: %d", url, status)
	}
}
