//go:build linux

package counterparts_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/postern-sso/postern/caddymodule/porttest"
)

const (
	pictureSmall, pictureLarge = 16 << 10, 1 << 20 // bytes
	// pictureSites are the same at two ports, the second one without Caddy's write_idle.
	pictureSites = `
{
	admin {$POSTERN_ADMIN}
	servers :{$LIFTED_PORT} {
		timeouts {
			write_idle -1s
		}
	}
	postern {
		data {$POSTERN_DATA}
	}
}
http://plain.localhost:{$POSTERN_PORT}, http://plain.localhost:{$LIFTED_PORT} {
	root {$POSTERN_DATA}/media/public
	file_server
}
http://:{$POSTERN_PORT}, http://:{$LIFTED_PORT} {
	postern
}
`
)

// aPicture begins as a PNG does.
func aPicture(size int) []byte {
	b := append([]byte("\x89PNG\r\n\x1a\n"), make([]byte, size-8)...)
	_, _ = rand.Read(b[8:])
	return b
}

// signed is the path of a file's signed URL.
func (p *postern) signed(b testing.TB, name string) string {
	b.Helper()
	r, err := http.NewRequest(http.MethodGet, p.url()+"/api/v3/admin/file/?search="+name, nil)
	if err != nil {
		b.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+bootstrapToken)
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		b.Fatal(err)
	}
	defer a.Body.Close()
	var all []struct{ URL string }
	if err := json.NewDecoder(a.Body).Decode(&all); err != nil || len(all) != 1 {
		b.Fatalf("the list of %s: %s, %v", name, a.Status, err)
	}
	u, err := url.Parse(all[0].URL)
	if err != nil {
		b.Fatal(err)
	}
	return u.RequestURI()
}

// beside loads each target in turn, b.N times over, and reports each beside its ceiling: the rate that both
// share the machine's processors for with their clients, and the processor time that a download takes of
// the server, which tells servers apart; and that of the clients, which is alike.
func beside(b *testing.B, targets []*frugal, of map[string]string) {
	b.Helper()
	byName := map[string]*frugal{}
	for _, t := range targets {
		t.open(b)
		defer t.close()
		byName[t.name] = t
	}
	b.ResetTimer()
	for range b.N {
		for _, t := range targets {
			t.slice(b, 200*time.Millisecond)
		}
	}
	b.StopTimer()
	each := func(d time.Duration, t *frugal) float64 { return d.Seconds() * 1e6 / float64(t.answered) }
	for _, t := range targets {
		t.check(b) // they were the right bytes still
		b.ReportMetric(t.median(), t.name+"/s")
		b.ReportMetric(each(t.used, t), t.name+"-cpu-µs")
		b.ReportMetric(each(t.took, t), t.name+"-clients-µs")
		if c := byName[of[t.name]]; c != nil {
			b.ReportMetric(100*t.median()/c.median(), t.name+"-%of-"+c.name)
			b.ReportMetric(100*each(c.used, c)/each(t.used, t), t.name+"-cpu-%of-"+c.name)
		}
	}
	b.ReportMetric(0, "ns/op")
}

func startPictures(b testing.TB) (p *postern, lifted string) {
	b.Helper()
	needBinary(b)
	lifted = porttest.Free(b)
	p = startConfig(b, pictureSites, "/-/health/ready/", append(bootstrapped(), "LIFTED_PORT="+lifted, "AUTHENTIK_STORAGE__MEDIA__FILE__URL_EXPIRY=hours=24")...)
	return p, lifted
}

func (p *postern) keepPicture(b testing.TB, name string, size int) (content []byte) {
	b.Helper()
	dir := filepath.Join(p.data, "media", "public")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		b.Fatal(err)
	}
	content = aPicture(size)
	if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
		b.Fatal(err)
	}
	return content
}

// BenchmarkPictures is signed files of a directory beside Caddy's file_server on the same files, both as
// Caddy is by default and without its write_idle, which keeps the kernel from sending files of file_server.
// Who downloads is frugal, as clients that read what they ask for take more of the machine than the kernel that
// sends it. The ceiling is file_server as it is by default.
func BenchmarkPictures(b *testing.B) {
	p, lifted := startPictures(b)
	var targets []*frugal
	of := map[string]string{}
	for _, f := range []struct {
		name string
		size int
	}{{"16K", pictureSmall}, {"1M", pictureLarge}} {
		sum := sha256.Sum256(p.keepPicture(b, f.name+".png", f.size))
		path := p.signed(b, f.name+".png")
		for _, t := range []*target{
			{name: "file_server-" + f.name, of: p.process, port: p.port, host: "plain.localhost", path: "/" + f.name + ".png"},
			{name: "signed-" + f.name, of: p.process, port: p.port, host: "localhost", path: path},
			{name: "file_server-lifted-" + f.name, of: p.process, port: lifted, host: "plain.localhost", path: "/" + f.name + ".png"},
			{name: "signed-lifted-" + f.name, of: p.process, port: lifted, host: "localhost", path: path},
		} {
			targets = append(targets, &frugal{target: t, sum: sum})
		}
		of["signed-"+f.name], of["signed-lifted-"+f.name] = "file_server-"+f.name, "file_server-"+f.name
	}
	beside(b, targets, of)
}

// BenchmarkBucketPictures is files of a MinIO that this server gives from its cache, beside the presigned
// URLs of MinIO itself.
func BenchmarkBucketPictures(b *testing.B) {
	needBinary(b)
	program := os.Getenv("POSTERN_TEST_MINIO")
	if program == "" {
		b.Skip("did not run: set POSTERN_TEST_MINIO to the path of minio")
	}
	m := startMinIO(b, nil)
	p := startPostern(b, append(bootstrapped(), append(m.guide(b), "AUTHENTIK_STORAGE__MEDIA__S3__CUSTOM_DOMAIN=", "AUTHENTIK_STORAGE__MEDIA__S3__URL_EXPIRY=hours=24")...)...)
	ctx := context.Background()
	if err := m.root(b).MakeBucket(ctx, "authentik-media", minio.MakeBucketOptions{}); err != nil {
		b.Fatal(err)
	}
	var targets []*frugal
	of := map[string]string{}
	for _, f := range []struct {
		name string
		size int
	}{{"16K", pictureSmall}, {"1M", pictureLarge}} {
		key := "media/public/" + f.name + ".png"
		content := aPicture(f.size)
		if _, err := m.root(b).PutObject(ctx, "authentik-media", key, bytes.NewReader(content), int64(f.size), minio.PutObjectOptions{ContentType: "image/png"}); err != nil {
			b.Fatal(err)
		}
		u, err := m.root(b).PresignedGetObject(ctx, "authentik-media", key, 24*time.Hour, nil)
		if err != nil {
			b.Fatal(err)
		}
		host, port, err := net.SplitHostPort(m.address)
		if err != nil {
			b.Fatal(err)
		}
		sum := sha256.Sum256(content)
		targets = append(targets,
			&frugal{sum: sum, target: &target{name: "minio-" + f.name, of: m.process, port: port, host: host, path: u.RequestURI()}},
			&frugal{sum: sum, target: &target{name: "cached-" + f.name, of: p.process, port: p.port, host: "localhost", path: p.signed(b, f.name+".png")}},
		)
		of["cached-"+f.name] = "minio-" + f.name
	}
	beside(b, targets, of)
}

// BenchmarkDownloads is the memory of the process with 1,000 connections that had an icon, and then while they are in
// the middle of a file of 8 MiB, and do not go on: none of it may hold files. Beside it, what the kernel holds for
// TCP, at both ends.
func BenchmarkDownloads(b *testing.B) {
	for _, name := range []string{"default", "lifted"} {
		b.Run(name, func(b *testing.B) {
			p, port := startPictures(b)
			if name == "default" {
				port = p.port
			}
			p.keepPicture(b, "8M.png", 8<<20)
			p.keepPicture(b, "16K.png", pictureSmall)
			icon := &target{port: port, host: "localhost", path: p.signed(b, "16K.png")}
			large := &target{port: port, host: "localhost", path: p.signed(b, "8M.png")}
			pid := p.cmd.Process.Pid
			var before, connected, most, kernel float64
			for range b.N {
				before = resident(b, pid)
				var all []net.Conn
				for range 1000 {
					c, err := net.Dial("tcp", "127.0.0.1:"+port)
					if err != nil {
						b.Fatal(err)
					}
					defer c.Close()
					// What the kernel holds of all of them is not to be all that it has.
					if tcp, ok := c.(*net.TCPConn); !ok || tcp.SetReadBuffer(16<<10) != nil {
						b.Fatal("no buffer")
					}
					if _, err := c.Write(icon.request()); err != nil {
						b.Fatal(err)
					}
					a, err := http.ReadResponse(bufio.NewReader(c), nil)
					if err != nil {
						b.Fatal(err)
					}
					if n, err := io.Copy(io.Discard, a.Body); n != pictureSmall || err != nil {
						b.Fatalf("%s: %d bytes, %v", a.Status, n, err)
					}
					a.Body.Close()
					all = append(all, c)
				}
				connected = max(connected, resident(b, pid))
				for _, c := range all {
					if _, err := c.Write(large.request()); err != nil {
						b.Fatal(err)
					}
				}
				for _, c := range all { // past the header, all of them
					if begin := make([]byte, 16<<10); !answersWhole(c, begin) {
						b.Fatalf("%q", tail(string(begin), 300))
					}
				}
				most, kernel = max(most, resident(b, pid)), max(kernel, kernelTCP(b))
				for _, c := range all {
					c.Close()
				}
			}
			if each := most - before; each > 100 { // kB, as there are 1,000
				b.Errorf("a download takes %.0f kB", each)
			}
			b.ReportMetric(before, "MB-before")
			b.ReportMetric(connected, "MB-connected")
			b.ReportMetric(most, "MB-meanwhile")
			b.ReportMetric(kernel, "MB-kernel-meanwhile")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// answersWhole reads so much of an answer that is a 200.
func answersWhole(c net.Conn, begin []byte) bool {
	_, err := io.ReadFull(c, begin)
	return err == nil && bytes.HasPrefix(begin, []byte("HTTP/1.1 200 "))
}

// kernelTCP is what the kernel holds for all TCP connections, in MB (tcp(7), tcp_mem).
func kernelTCP(b *testing.B) float64 {
	b.Helper()
	stat, err := os.ReadFile("/proc/net/sockstat")
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(stat)) {
		if _, pages, ok := strings.Cut(line, " mem "); ok && strings.HasPrefix(line, "TCP:") {
			n, err := strconv.Atoi(strings.TrimSpace(pages))
			if err != nil {
				b.Fatal(err)
			}
			return float64(n*os.Getpagesize()) / 1e6
		}
	}
	b.Fatalf("no memory of TCP in %q", stat)
	return 0
}
