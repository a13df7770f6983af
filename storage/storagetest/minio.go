package storagetest

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/postern-sso/postern/caddymodule/porttest"
	"github.com/postern-sso/postern/core"
)

// The keys of MinIO's root.
const (
	MinIOUser     = "minio-root"
	MinIOPassword = "minio-root-password" //nolint:gosec // of servers that live as long as a test
)

// MinIO is a server of a test's own.
type MinIO struct {
	Addr string // host:port
	t    testing.TB
	dir  string
	env  []string
	cmd  *exec.Cmd
	log  bytes.Buffer
}

// StartMinIO starts the minio that POSTERN_TEST_MINIO names on a port of 127.0.0.1. Without the
// variable the test is skipped.
func StartMinIO(t testing.TB, env ...string) *MinIO {
	t.Helper()
	if os.Getenv("POSTERN_TEST_MINIO") == "" {
		t.Skip("did not run: set POSTERN_TEST_MINIO to the path of minio")
	}
	m := &MinIO{Addr: "127.0.0.1:" + porttest.Free(t), t: t, dir: t.TempDir()}
	m.env = append(os.Environ(), append([]string{"MINIO_ROOT_USER=" + MinIOUser, "MINIO_ROOT_PASSWORD=" + MinIOPassword, "MINIO_CI_CD=1", "MINIO_BROWSER=off", "HOME=" + t.TempDir()}, env...)...)
	t.Cleanup(m.Stop)
	m.Start()
	return m
}

// Start starts it again, with what it had.
func (m *MinIO) Start() {
	m.t.Helper()
	m.cmd = exec.Command(os.Getenv("POSTERN_TEST_MINIO"), "server", "--quiet", "--address", m.Addr, m.dir) //nolint:gosec // the program is named by whoever runs the tests
	m.cmd.Env, m.cmd.Stdout, m.cmd.Stderr = m.env, &m.log, &m.log
	if err := m.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		r, err := http.Get("http://" + m.Addr + "/minio/health/ready")
		if err == nil {
			_ = r.Body.Close()
			if r.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(end) {
			m.Stop()
			m.t.Fatalf("MinIO does not start: %s", m.log.String())
		}
	}
}

// Stop kills it.
func (m *MinIO) Stop() {
	if m.cmd != nil {
		_ = m.cmd.Process.Kill()
		_ = m.cmd.Wait()
		m.cmd = nil
	}
}

// Hang has it answer no more, until Continue. It is so when Hang returns.
func (m *MinIO) Hang() {
	m.t.Helper()
	if err := m.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		m.t.Fatal(err)
	}
	if _, err := syscall.Wait4(m.cmd.Process.Pid, nil, syscall.WUNTRACED, nil); err != nil {
		m.t.Fatal(err)
	}
}

// Continue ends what Hang began.
func (m *MinIO) Continue() {
	m.t.Helper()
	if err := m.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		m.t.Fatal(err)
	}
}

// Client is MinIO's own, with all rights.
func (m *MinIO) Client() *minio.Client {
	m.t.Helper()
	c, err := minio.New(m.Addr, &minio.Options{Creds: credentials.NewStaticV4(MinIOUser, MinIOPassword, "")})
	if err != nil {
		m.t.Fatal(err)
	}
	return c
}

// Bucket makes a bucket of a name that none has.
func (m *MinIO) Bucket() string {
	m.t.Helper()
	name := "media-" + strings.ToLower(core.RandomAlphanumeric(12))
	if err := m.Client().MakeBucket(context.Background(), name, minio.MakeBucketOptions{}); err != nil {
		m.t.Fatal(err)
	}
	return name
}
