package counterparts_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// guide is the README's .env of S3, where https://s3.provider is a MinIO.
func (m *minioServer) guide(t *testing.T) []string {
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
