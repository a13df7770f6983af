package sqldb_test

import (
	"bufio"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/storage/sqldb"
)

// kills is how often a test kills: POSTERN_TEST_KILLS, or so many as a build has time for.
func kills(t *testing.T, few int) int {
	t.Helper()
	if text := os.Getenv("POSTERN_TEST_KILLS"); text != "" {
		n, err := strconv.Atoi(text)
		must(t, err)
		return n
	}
	if testing.Short() {
		return max(1, few/10)
	}
	return few
}

// killer kills copies of this process that write to one directory, and keeps what they said.
type killer struct {
	t    *testing.T
	opt  sqldb.Options
	rand *rand.Rand
	// said holds, for each story, the last step that was tried and the last that was acknowledged.
	said map[string]*progress
	// lines are those of the last child that tell of no story.
	lines []string
	acked int
	// children is how many were started.
	children int
	opened   []time.Duration
	outage   bool // the database may go away, too
}

type progress struct{ tried, done int }

func newKiller(t *testing.T, dir, address string) *killer {
	t.Helper()
	opt, err := childOptions(dir, address)
	must(t, err)
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("POSTERN_TEST_SEED"); text != "" {
		seed, err = strconv.ParseUint(text, 10, 64)
		must(t, err)
	}
	t.Logf("POSTERN_TEST_SEED=%d", seed)
	return &killer{t: t, opt: opt, rand: rand.New(rand.NewPCG(seed, 0)), said: map[string]*progress{}}
}

// prepare makes what stories take for granted.
func (k *killer) prepare() {
	k.t.Helper()
	k.use(func(db *sqldb.DB) {
		_, err := db.CreateTenant(k.t.Context(), "t_two", "Two")
		must(k.t, err)
		for _, t := range []core.TenantID{"public", "t_two"} {
			must(k.t, db.CreateGroup(k.t.Context(), t, &core.Group{Name: staff}, nil))
		}
	})
}

// use opens the directory as the next start does, without a hand's help.
func (k *killer) use(f func(*sqldb.DB)) {
	k.t.Helper()
	began := time.Now()
	db, err := sqldb.Open(k.t.Context(), k.opt)
	if err != nil {
		k.t.Fatalf("after a kill the directory does not open: %v", err)
	}
	k.opened = append(k.opened, time.Since(began))
	f(db)
	must(k.t, db.Close())
}

// round starts a child and kills it at a random moment: of its first while milliseconds,
// or a little after one of its writes. It returns the names of the stories that it began.
func (k *killer) round(mode string, while int, kill func(*exec.Cmd)) []string {
	k.t.Helper()
	k.children++
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childMode+"="+mode, childDir+"="+k.opt.Dir, childURL+"="+k.opt.URL, childID+"="+strconv.Itoa(k.children))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(k.t, err)
	must(k.t, cmd.Start())
	defer cmd.Process.Kill()
	lines := make(chan string, 1<<12)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			lines <- s.Text()
		}
	}()
	var stories []string
	k.lines = nil
	hear := func(line string) {
		if name := k.hear(line); name != "" {
			stories = append(stories, name)
		}
	}
	var timeout <-chan time.Time
	left := -1
	if while > 0 && k.rand.IntN(4) == 0 {
		timeout = time.After(time.Duration(k.rand.IntN(while*1000)) * time.Microsecond)
	} else {
		left = 1 + k.rand.IntN(60)
		if mode == "found" {
			left = 1 + left/10 // a line there stands for much more
		}
		timeout = time.After(2 * time.Minute)
	}
listen:
	for left != 0 {
		select {
		case line, ok := <-lines:
			if !ok {
				break listen
			}
			hear(line)
			if strings.HasPrefix(line, "done ") || mode == "found" {
				left--
			}
		case <-timeout:
			if left > 0 {
				k.t.Error("the process wrote too little in two minutes")
			}
			break listen
		}
	}
	time.Sleep(time.Duration(k.rand.IntN(2500)) * time.Microsecond)
	kill(cmd)
	for line := range lines {
		hear(line)
	}
	if err := cmd.Wait(); err == nil {
		k.t.Error("the process ended by itself")
	}
	slices.Sort(stories)
	return slices.Compact(stories)
}

func sigkill(cmd *exec.Cmd) { _ = cmd.Process.Kill() }

// hear notes a line of a child and returns the story that it is about.
func (k *killer) hear(line string) string {
	word, rest, _ := strings.Cut(line, " ")
	name, number, _ := strings.Cut(rest, " ")
	i, err := strconv.Atoi(number)
	switch {
	case word == "error" && k.outage:
		return ""
	case word == "try" && err == nil:
		if k.said[name] == nil {
			k.said[name] = &progress{done: -1}
		}
		k.said[name].tried = i
		return name
	case word == "done" && err == nil && k.said[name] != nil:
		k.said[name].done = i
		k.acked++
		return name
	case word == "opened" || word == "tenant" || word == "domain":
		k.lines = append(k.lines, line)
		return ""
	}
	k.t.Errorf("the process said %q", line)
	return ""
}

// lost compares stories with what was said of them.
func (k *killer) lost(db *sqldb.DB, names []string) (out []string) {
	for _, name := range names {
		s, err := tell(db, name)
		must(k.t, err)
		said := k.said[name]
		steps := s.steps()
		last := steps[:said.tried+1]
		for i, st := range last {
			if slices.ContainsFunc(last, func(later step) bool { return later.name == st.until || later.name == "leave" && st.until == "revoke" }) {
				continue // taken away again, or perhaps
			}
			held, err := st.held(k.t.Context(), s)
			if err != nil {
				out = append(out, fmt.Sprintf("%s, %s: %v", name, st.name, err))
			} else if !held && i <= said.done {
				out = append(out, fmt.Sprintf("%s: %s was acknowledged and is lost", name, st.name))
			}
		}
	}
	for _, t := range []core.TenantID{"public", "t_two"} {
		out = append(out, db.Broken(k.t.Context(), t, false)...)
	}
	return out
}

// all is the last look: every story there ever was, and the files page by page.
func (k *killer) all() {
	k.t.Helper()
	k.use(func(db *sqldb.DB) {
		problems := k.lost(db, slices.Sorted(maps.Keys(k.said)))
		for _, t := range []core.TenantID{"public", "t_two"} {
			problems = append(problems, db.Broken(k.t.Context(), t, true)...)
		}
		k.report(problems)
	})
	slices.Sort(k.opened)
	k.t.Logf("%d starts: %d stories, %d writes acknowledged; opening took %v at the median and %v at most",
		len(k.opened), len(k.said), k.acked, k.opened[len(k.opened)/2].Round(time.Millisecond), k.opened[len(k.opened)-1].Round(time.Millisecond))
}

func (k *killer) report(problems []string) {
	k.t.Helper()
	for i, p := range problems {
		if i == 10 {
			k.t.Fatalf("and %d more", len(problems)-i)
		}
		k.t.Error(p)
	}
	if k.t.Failed() {
		k.t.FailNow()
	}
}

// rounds kills n times and looks after each.
func (k *killer) rounds(n int) {
	k.t.Helper()
	for range n {
		names := k.round("write", 80, sigkill)
		k.use(func(db *sqldb.DB) { k.report(k.lost(db, names)) })
	}
	k.all()
	if k.acked < n {
		k.t.Errorf("only %d writes were acknowledged in %d rounds", k.acked, n)
	}
}

// L-09: what was acknowledged survives kill -9, nothing is there by half, and the next start
// needs nobody.
func TestKilled(t *testing.T) {
	k := newKiller(t, t.TempDir(), "")
	k.prepare()
	k.rounds(kills(t, 50))
}

// The control: a process that acknowledges before it commits is found out.
func TestKilledControl(t *testing.T) {
	k := newKiller(t, t.TempDir(), "")
	k.prepare()
	for i := range 300 {
		names := k.round("early", 0, sigkill)
		lost := 0
		k.use(func(db *sqldb.DB) { lost = len(k.lost(db, names)) })
		if lost > 0 {
			t.Logf("noticed in round %d", i+1)
			return
		}
	}
	t.Error("300 processes that acknowledge too early, and nobody noticed")
}

// What is looked at after a kill sees each kind of damage.
func TestKilledSeesDamage(t *testing.T) {
	k := newKiller(t, t.TempDir(), "")
	k.prepare()
	k.use(func(db *sqldb.DB) {
		const name = "k-0-0-1"
		must(t, live(t.Context(), db, name, false, func(...any) {}))
		k.said[name] = &progress{}
		s, err := tell(db, name)
		must(t, err)
		k.said[name].tried = len(s.steps()) - 1
		k.said[name].done = k.said[name].tried
		k.report(k.lost(db, []string{name}))
		for _, damage := range []string{
			`UPDATE codes SET used = 0`, `DELETE FROM codes`, `UPDATE refresh_tokens SET used = 0`, `DELETE FROM refresh_tokens WHERE used = 0`,
			`UPDATE links SET used = 0`, `DELETE FROM events`, `DELETE FROM memberships WHERE user_id IN (SELECT id FROM users WHERE username = 'k-0-0-1')`,
			`DELETE FROM user_attributes`, `UPDATE users SET password_hash = ''`, `UPDATE users SET name = ''`, `DELETE FROM grants`,
			`DELETE FROM outbox WHERE kind = 'session'`, `DELETE FROM outbox WHERE kind = 'user'`, `DELETE FROM users WHERE username = 'k-0-0-1'`,
			`DELETE FROM mappings WHERE managed = 'm/email'`, `DELETE FROM key_pairs`, `UPDATE counters SET value = value - 1 WHERE name = 'outbox'`,
		} {
			before := db.Copy(t, "public")
			must(t, db.Exec(t.Context(), "public", damage))
			if len(k.lost(db, []string{name})) == 0 {
				t.Errorf("not noticed: %s", damage)
			}
			before()
		}
	})
}

// L-09: a process that is killed in its very first start, while it migrates, seeds and makes
// tenants, leaves nothing that the next start cannot use.
func TestKilledInFirstStart(t *testing.T) {
	k := newKiller(t, "", "")
	for range kills(t, 10) {
		k.opt.Dir = filepath.Join(t.TempDir(), "data")
		var promised []string
		for range 1 + k.rand.IntN(3) { // the second start may be killed, too
			k.round("found", 100, sigkill)
			promised = append(promised, k.lines...)
		}
		k.founded(promised)
		scraps, err := filepath.Glob(filepath.Join(k.opt.Dir, "*.tmp"))
		must(t, err)
		if len(scraps) > 0 {
			t.Errorf("left behind: %v", scraps)
		}
		must(t, os.RemoveAll(k.opt.Dir))
	}
	slices.Sort(k.opened)
	t.Logf("%d first starts; opening took %v at most", len(k.opened), k.opened[len(k.opened)-1])
}

// founded looks whether all promised tenants and domains are there, whole, and whether another
// one can be made.
func (k *killer) founded(promised []string) {
	k.t.Helper()
	ctx := k.t.Context()
	k.use(func(db *sqldb.DB) {
		problems := db.Broken(ctx, "public", true)
		for _, line := range promised {
			word, what, _ := strings.Cut(line, " ")
			switch word {
			case "tenant":
				problems = append(problems, db.Broken(ctx, core.TenantID(what), true)...)
			case "domain":
				if tenant, err := db.TenantByHost(ctx, "n"+what+".test"); err != nil || tenant.ID != core.TenantID("t_n"+what) {
					problems = append(problems, fmt.Sprintf("domain %s: %v, %v", what, tenant, err))
				}
			}
		}
		// The names that the killed process may have begun with work like any other.
		for i := range 100 {
			id := core.TenantID(fmt.Sprintf("t_n%d", i))
			if _, err := db.Tenant(ctx, id); err == nil {
				continue
			}
			if _, err := db.CreateTenant(ctx, id, "again"); err != nil {
				problems = append(problems, err.Error())
			}
			problems = append(problems, db.Broken(ctx, id, true)...)
			break
		}
		k.report(problems)
	})
}

// L-09: so does one that is killed while it brings the tables of an older version up to date.
func TestKilledInMigration(t *testing.T) {
	k := newKiller(t, t.TempDir(), "")
	k.prepare()
	k.use(func(db *sqldb.DB) {
		must(t, live(t.Context(), db, "k-0-0-1", false, func(...any) {}))
		s, err := tell(db, "k-0-0-1")
		must(t, err)
		all := len(s.steps()) - 1
		k.said["k-0-0-1"] = &progress{tried: all, done: all}
	})
	for range kills(t, 10) {
		for _, name := range []string{"tenants/public.db", "tenants/t_two.db", "template.db"} {
			must(t, sqldb.Downgrade(t.Context(), filepath.Join(k.opt.Dir, name)))
		}
		k.round("write", 40, sigkill)
		k.use(func(db *sqldb.DB) {
			k.report(k.lost(db, []string{"k-0-0-1"}))
			for _, table := range []string{"policies", "bindings", "entitlements"} {
				if n, err := db.Text(t.Context(), "public", `SELECT CAST(count(*) AS TEXT) FROM `+table); n != "0" || err != nil {
					t.Errorf("%s: %s, %v", table, n, err)
				}
			}
		})
	}
	k.all()
}
