package storagetest

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// redisPatience is how long a server may take to do what it always does.
const redisPatience = time.Minute

// Redis is a server of a test's own.
type Redis struct {
	Addr string
	t    testing.TB
	pass string // of a sentinel
	args []string
	dir  string
	port int
	cmd  *exec.Cmd
	log  *redisLog
	done chan struct{}
}

// StartRedis starts the redis-server that POSTERN_TEST_REDIS names, on a port of 127.0.0.1, with
// nothing on the disk. Without the variable the test is skipped. {port} in an argument becomes
// the server's port, {dir} a directory of its own.
func StartRedis(t testing.TB, args ...string) *Redis {
	t.Helper()
	if os.Getenv("POSTERN_TEST_REDIS") == "" {
		t.Skip("did not run: set POSTERN_TEST_REDIS to the path of redis-server")
	}
	r := &Redis{t: t, dir: t.TempDir(), args: args}
	t.Cleanup(r.Kill)
	for range 20 {
		var b [2]byte
		rand.Read(b[:])
		r.port = 12000 + int(binary.BigEndian.Uint16(b[:]))%18000
		r.Addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(r.port))
		if r.begin() {
			return r
		}
	}
	t.Fatalf("no port is free, or it does not start: %s", r.log)
	return nil
}

// Ran tells .ci/test that a counterpart took part in a test that passed.
func Ran(t testing.TB, name string) {
	t.Cleanup(func() {
		dir := os.Getenv("POSTERN_TEST_RAN")
		if dir == "" || t.Failed() || t.Skipped() {
			return
		}
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil { //nolint:gosec // the directory is named by whoever runs the tests
			t.Error(err)
		}
	})
}

// begin reports whether the server listens: it says so itself, so that no other one of that
// port is taken for it.
func (r *Redis) begin() bool {
	listen := []string{"--port", strconv.Itoa(r.port), "--bind", "127.0.0.1", "--dir", r.dir}
	if r.tls() {
		listen = append(listen, "--port", "0", "--tls-port", strconv.Itoa(r.port))
	}
	args := append(slices.Clone(listen), "--save", "", "--appendonly", "no", "--daemonize", "no")
	for _, a := range r.args {
		args = append(args, strings.NewReplacer("{port}", strconv.Itoa(r.port), "{dir}", r.dir).Replace(a))
	}
	if len(r.args) > 0 && strings.HasSuffix(r.args[0], ".conf") { // a sentinel keeps what it knows in its file
		args = append(append([]string{r.args[0], "--sentinel"}, listen...), r.args[1:]...)
	}
	r.log, r.done = &redisLog{ready: make(chan struct{})}, make(chan struct{})
	r.cmd = exec.Command(os.Getenv("POSTERN_TEST_REDIS"), args...) //nolint:gosec // the program that the runner of the tests names
	r.cmd.Stdout, r.cmd.Stderr = r.log, r.log
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	done, cmd := r.done, r.cmd
	go func() {
		defer close(done)
		_ = cmd.Wait() // how it ended shows in what it does not answer
	}()
	select {
	case <-r.log.ready:
		return true
	case <-r.done:
	case <-time.After(redisPatience):
	}
	r.Kill()
	return false
}

// Start starts a server that was killed, empty, on the same port.
func (r *Redis) Start() {
	r.t.Helper()
	for until := time.Now().Add(redisPatience); !r.begin(); {
		if time.Now().After(until) {
			r.t.Fatalf("redis does not start again: %s", r.log)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// Kill ends the server at once.
func (r *Redis) Kill() {
	if r.cmd == nil || r.cmd.Process == nil {
		return
	}
	_ = r.cmd.Process.Kill() // it may have ended
	<-r.done
}

// Signal sends SIGSTOP or SIGCONT.
func (r *Redis) Signal(s syscall.Signal) {
	r.t.Helper()
	if err := r.cmd.Process.Signal(s); err != nil {
		r.t.Fatal(err)
	}
}

// tls reports whether it was started with a certificate.
func (r *Redis) tls() bool { return slices.Contains(r.args, "--tls-cert-file") }

// Client speaks to the server past what is tested.
func (r *Redis) Client() *redis.Client {
	opt := &redis.Options{Addr: r.Addr, Password: r.pass, Protocol: 2, DisableIdentity: true}
	if r.tls() {
		opt.TLSConfig = &tls.Config{InsecureSkipVerify: true} //nolint:gosec // the test's own server
	}
	c := redis.NewClient(opt)
	r.t.Cleanup(func() { _ = c.Close() })
	return c
}

// Do sends one command.
func (r *Redis) Do(args ...any) any {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), redisPatience)
	defer cancel()
	answer, err := r.Client().Do(ctx, args...).Result()
	if err != nil {
		r.t.Fatalf("%v: %v", args, err)
	}
	return answer
}

const sentinelPassword = "of-the-sentinels"

// Sentinels are three sentinels that watch a primary and its replica under the name "main".
type Sentinels struct {
	Primary, Replica *Redis
	All              []*Redis
}

// StartSentinels starts all five, each with more arguments.
func StartSentinels(t testing.TB, args ...string) *Sentinels {
	t.Helper()
	s := &Sentinels{Primary: StartRedis(t, args...)}
	_, port, _ := strings.Cut(s.Primary.Addr, ":")
	s.Replica = StartRedis(t, append([]string{"--replicaof", "127.0.0.1 " + port}, args...)...)
	EventuallyRedis(t, "the replica follows", func() bool {
		return strings.Contains(fmt.Sprint(s.Replica.Do("INFO", "replication")), "master_link_status:up")
	})
	for range 3 {
		conf := filepath.Join(t.TempDir(), "sentinel.conf")
		text := "requirepass " + sentinelPassword + "\nsentinel monitor main 127.0.0.1 " + port + " 2\nsentinel down-after-milliseconds main 1000\nsentinel failover-timeout main 5000\n"
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		one := StartRedis(t, append([]string{conf}, args...)...)
		one.pass = sentinelPassword
		s.All = append(s.All, one)
	}
	for _, one := range s.All {
		EventuallyRedis(t, "the sentinels know one another and the replica", func() bool {
			info := fmt.Sprint(one.Do("INFO", "sentinel"))
			return strings.Contains(info, "slaves=1,sentinels=3")
		})
	}
	return s
}

// URL is the address of what they watch.
func (s *Sentinels) URL() string {
	var hosts []string
	for _, one := range s.All {
		hosts = append(hosts, one.Addr)
	}
	return "redis+sentinel://" + strings.Join(hosts, ",") + "/main?sentinel_password=" + sentinelPassword
}

// StartRedisCluster starts three primaries, each with more arguments, and gives them and the URL of the cluster.
func StartRedisCluster(t testing.TB, args ...string) ([]*Redis, string) {
	t.Helper()
	var all []*Redis
	var hosts []string
	for range 3 {
		r := startClusterNode(t, args...)
		all = append(all, r)
		hosts = append(hosts, r.Addr)
	}
	for i, r := range all {
		r.Do("CLUSTER", "ADDSLOTSRANGE", i*16384/3, (i+1)*16384/3-1)
		if i > 0 {
			_, port, _ := strings.Cut(all[0].Addr, ":")
			r.Do("CLUSTER", "MEET", "127.0.0.1", port)
		}
	}
	for _, r := range all {
		EventuallyRedis(t, "the cluster is whole", func() bool {
			info := fmt.Sprint(r.Do("CLUSTER", "INFO"))
			return strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_known_nodes:3")
		})
	}
	return all, "redis+cluster://" + strings.Join(hosts, ",")
}

func startClusterNode(t testing.TB, args ...string) *Redis {
	return StartRedis(t, append([]string{"--cluster-enabled", "yes", "--cluster-config-file", "{dir}/nodes.conf", "--cluster-node-timeout", "2000",
		"--cluster-replica-validity-factor", "0"}, args...)...) // it takes over however old what it has is
}

// StartClusterReplica starts a replica of the first primary.
func StartClusterReplica(t testing.TB, primaries []*Redis) *Redis {
	t.Helper()
	r := startClusterNode(t)
	_, port, _ := strings.Cut(primaries[0].Addr, ":")
	r.Do("CLUSTER", "MEET", "127.0.0.1", port)
	for _, p := range append([]*Redis{r}, primaries...) {
		EventuallyRedis(t, "the cluster knows the replica", func() bool {
			info := fmt.Sprint(p.Do("CLUSTER", "INFO"))
			return strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_known_nodes:4")
		})
	}
	r.Do("CLUSTER", "REPLICATE", primaries[0].Do("CLUSTER", "MYID"))
	EventuallyRedis(t, "the replica follows", func() bool {
		return strings.Contains(fmt.Sprint(r.Do("INFO", "replication")), "master_link_status:up")
	})
	for _, p := range primaries {
		EventuallyRedis(t, "all know that it is a replica", func() bool {
			return strings.Contains(fmt.Sprint(p.Do("CLUSTER", "NODES")), " slave ")
		})
	}
	return r
}

// EventuallyRedis waits until something holds.
func EventuallyRedis(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for until := time.Now().Add(redisPatience); !holds(); {
		if time.Now().After(until) {
			t.Fatalf("after %s, this does not hold: %s", redisPatience, what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// redisLog is what a server says, and whether it has said that it listens.
type redisLog struct {
	mu    sync.Mutex
	text  bytes.Buffer
	once  sync.Once
	ready chan struct{}
}

func (l *redisLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(p)
	if said := l.text.String(); strings.Contains(said, "eady to accept connections") || strings.Contains(said, "Sentinel ID is") {
		l.once.Do(func() { close(l.ready) })
	}
	return len(p), nil
}

func (l *redisLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
