package counterparts_test

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postern-sso/postern/storage/storagetest"
)

// redisRecipe is the block of a kind in the README's section on Redis.
func redisRecipe(t *testing.T, kind string) string {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n### Redis before the database\n")
	_, block, _ := strings.Cut(section, "```"+kind+"\n")
	block, _, ok := strings.Cut(block, "```")
	if !ok {
		t.Fatalf("README.md has no %s block about Redis", kind)
	}
	return block
}

// recipeRedis is a Redis with the user that the README says to make, typed as it stands there, and the
// line of the Caddyfile that uses it.
func recipeRedis(t *testing.T) (*storagetest.Redis, string) {
	t.Helper()
	r := storagetest.StartRedis(t)
	cli, err := exec.LookPath("redis-cli")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := strings.Cut(r.Addr, ":")
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "redis-cli"), []byte("#!/bin/sh\nexec "+cli+" -e -p "+port+" \"$@\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-ec", redisRecipe(t, "sh"))
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "REDIS_PASSWORD="+redisPassword)
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "OK") {
		t.Fatalf("the recipe: %v\n%s", err, out)
	}
	line := strings.TrimSpace(redisRecipe(t, "caddyfile"))
	for _, l := range strings.Split(line, "\n") {
		if strings.HasPrefix(strings.TrimSpace(l), "sessions ") {
			line = strings.TrimSpace(l)
		}
	}
	const host = "@redis.example.com"
	if !strings.Contains(line, "{env.REDIS_PASSWORD}"+host) {
		t.Fatalf("the recipe's line is %q", line)
	}
	return r, strings.Replace(line, host, "@"+r.Addr, 1)
}

const redisPassword = "p@ss/w:rd %"

// redisUp is what a node's figures say of Redis.
func (n *fleetNode) redisUp(t *testing.T) string {
	t.Helper()
	resp, err := http.Get("http://localhost:" + n.admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var b strings.Builder
	if err := resp.Write(&b); err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(b.String(), "\npostern_sessions_redis_up ")
	value, _, _ := strings.Cut(after, "\n")
	return strings.TrimSpace(value)
}

// redisFleet is two nodes on PostgreSQL that use the Redis of the README's recipe, by that line of their Caddyfiles.
func redisFleet(t *testing.T) (f *fleet, r *storagetest.Redis, line string) {
	t.Helper()
	database := newDatabase(t)
	r, line = recipeRedis(t)
	t.Setenv("REDIS_PASSWORD", redisPassword)
	f = newFleet(t)
	f.add(t, database, line, "")
	f.add(t, database, line, "")
	ran(t, "caddy")
	ran(t, "postgresql")
	ran(t, "redis")
	for _, n := range f.nodes {
		eventually(t, "a node uses redis", func() bool { return n.redisUp(t) == "1" })
	}
	return f, r, line
}

// Two nodes on PostgreSQL, with the Redis of the README's recipe before it. L-16: a login at one is one at the other,
// L-17: and so is a logout. L-04, L-05: Redis is emptied, and killed, in the middle of it: nobody is logged out,
// logins go on, a logout that Redis did not hear of holds, and a node stays alive and ready.
func TestRedis(t *testing.T) {
	f, r, line := redisFleet(t)
	one, two := f.nodes[0], f.nodes[1]
	enter := func(name string, n *fleetNode) *person {
		t.Helper()
		one.addUser(t, name)
		p := f.person(t).through(n)
		if page := p.login(f.app()+"/", name); page.body != "for "+name {
			t.Fatalf("%s: %d %s", name, page.status, tail(page.body, 500))
		}
		return p
	}
	in := func(when string, p *person) {
		t.Helper()
		for _, n := range f.nodes {
			if ok, status := p.let(n); !ok {
				t.Errorf("%s, %s answers %d", when, n.address, status)
			}
		}
	}
	leave := func(p *person, n *fleetNode) {
		t.Helper()
		page := p.through(n).open("http://localhost:" + f.port + "/flows/-/default/invalidation/")
		if len(page.forms) > 0 {
			page = p.submit(page, "", "")
		}
		if page.status >= 400 {
			t.Fatalf("logout: %d %s", page.status, page.body)
		}
	}
	out := func(when string, p *person) {
		t.Helper()
		for _, n := range f.nodes {
			took := eventually(t, when+", "+n.address+" refuses", func() bool { ok, _ := p.let(n); return !ok })
			t.Logf("%s, %s refused after %s", when, n.address, took)
		}
	}
	copies := func() map[string]string {
		all := map[string]string{}
		for _, key := range r.Client().Keys(t.Context(), "*").Val() {
			if !strings.Contains(key, ":probe:") {
				all[key] = r.Client().Dump(t.Context(), key).Val()
			}
		}
		return all
	}

	stays, leaves := enter("stays", one), enter("leaves", one)
	in("logged in at the other node", stays)
	in("logged in at the other node", leaves)
	// A refusal takes a browser's cookies: this one has the same, and is not asked before redis is back in the past.
	stolen := f.person(t)
	for _, of := range []string{f.app() + "/", "http://localhost:" + f.port + "/"} {
		address, _ := url.Parse(of)
		stolen.client.Jar.SetCookies(address, leaves.client.Jar.Cookies(address))
	}
	in("control: with the cookies of another browser", stolen)
	before := copies()
	if len(before) < 8 { // two people, each with a login and an application's session, and the way to it
		t.Errorf("redis has %d keys", len(before))
	}
	for key := range before {
		if !strings.HasPrefix(key, "public:") {
			t.Errorf("a key is %q", key)
		}
	}
	const hints = "public:outbox:{0}"
	eventually(t, "both nodes listen", func() bool { return r.Client().PubSubNumSub(t.Context(), hints).Val()[hints] == 2 })
	told := r.Client().Subscribe(t.Context(), hints)
	defer told.Close()
	if _, err := told.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	leave(leaves, one)
	if m, err := told.ReceiveTimeout(t.Context(), 20*time.Second); err != nil || !strings.HasPrefix(fmt.Sprint(m), "Message<"+hints+": public ") {
		t.Errorf("of the logout redis carries %v, %v", m, err)
	}
	out("logged out", leaves)
	c := newCrowd(t, one.postern, f.app())
	code, err := c.code(follow(stays.through(one).browser))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.token(follow(stays.through(two).browser), traded(code)); err != nil {
		t.Errorf("a code of the other node: %v", err)
	}
	r.Do("FLUSHALL")
	in("with redis emptied", stays)
	for _, n := range f.nodes {
		if _, err := c.token(follow(stays.through(n).browser), traded(code)); err == nil || !strings.Contains(err.Error(), "invalid_grant") {
			t.Errorf("with redis emptied, a code that was used is good again at %s: %v", n.address, err)
		}
	}

	// What was deleted is there again, as after a failover that lost it; a node that starts has it from nowhere else.
	for key, text := range before {
		if err := r.Client().RestoreReplace(t.Context(), key, 0, text).Err(); err != nil {
			t.Fatal(err)
		}
	}
	two.stop(t)
	two.begin(t)
	eventually(t, "the new node uses redis", func() bool { return two.redisUp(t) == "1" })
	in("with what redis had before", stays)
	for _, n := range []*fleetNode{two, one} {
		if ok, _ := stolen.let(n); ok {
			t.Errorf("%s lets in who has logged out, with what redis had before", n.address)
		}
	}

	r.Kill()
	in("without redis", stays)
	late := enter("late", two)
	in("logged in without redis", late)
	for _, n := range f.nodes {
		eventually(t, "a node tells that redis is away", func() bool { return n.redisUp(t) == "0" })
		for _, path := range []string{"/-/health/live/", "/-/health/ready/"} {
			if got := n.status(t, path); got != http.StatusOK {
				t.Errorf("without redis, %s%s answers %d", n.address, path, got)
			}
		}
	}
	leave(late, one)
	out("logged out without redis", late)

	r.Start()
	r.Do("ACL", "SETUSER", "postern", "on", ">"+redisPassword, "allkeys", "+@all")
	for _, n := range f.nodes {
		took := eventually(t, "a node uses redis again", func() bool { return n.redisUp(t) == "1" })
		t.Logf("%s uses redis again after %s", n.address, took)
		n.tells(t, "redis is back")
		if strings.Contains(n.out.String(), redisPassword) || strings.Contains(n.out.String(), "p%40ss") {
			t.Errorf("the log of %s shows the password", n.address)
		}
	}
	in("with redis again", stays)

	// A reload takes another Redis, or none; whoever is logged in does not notice.
	other := storagetest.StartRedis(t)
	config, err := os.ReadFile(two.caddyfile)
	if err != nil {
		t.Fatal(err)
	}
	for _, sessions := range []string{"sessions redis://" + other.Addr, ""} {
		if err := os.WriteFile(two.caddyfile, []byte(strings.Replace(string(config), line, sessions, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		two.reload(t)
		want := map[bool]string{true: "", false: "1"}[sessions == ""]
		eventually(t, "the figures are the new redis's", func() bool { return two.redisUp(t) == want })
		in(fmt.Sprintf("after a reload with %q", sessions), stays)
	}
}
