package counterparts_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// outage is a node whose database goes away, with somebody who is logged in.
type outage struct {
	t       *testing.T
	node    *fleetNode
	crowd   *crowd
	inside  *browser // who has a session
	client  *http.Client
	bearer  string   // an access token
	outside *browser // who has a login form
	form    *page
	codes   []string
}

// outageWait is more than any answer may take: a call on the database is given up after four
// seconds, and an answer needs one such call, or two.
const outageWait = 15 * time.Second

func newOutage(t *testing.T, node *fleetNode) *outage {
	t.Helper()
	o := &outage{t: t, node: node, crowd: newCrowd(t, node.postern, node.fleet.app())}
	o.inside = o.crowd.person()
	o.client = o.crowd.oneShot(o.inside)
	o.client.Timeout = outageWait
	_, token := authorize(t, o.crowd.op, "alice")
	o.bearer = token.AccessToken
	o.works("before the outage")
	return o
}

// under makes what fails the failure of a subtest.
func (o *outage) under(t *testing.T) {
	before, crowd, inside := o.t, o.crowd.t, o.inside.t
	o.t, o.crowd.t, o.inside.t = t, t, t
	t.Cleanup(func() { o.t, o.crowd.t, o.inside.t = before, crowd, inside })
}

// prepare loads a login form and gets codes, for the time when the database is away.
func (o *outage) prepare() {
	o.t.Helper()
	o.outside = newBrowser(o.t)
	o.outside.client.Timeout = outageWait
	o.form = o.outside.open(o.crowd.app + "/")
	if len(o.form.forms) == 0 || o.form.forms[0].password == "" {
		o.t.Fatalf("no login form: %d %s", o.form.status, tail(o.form.body, 500))
	}
	o.codes = nil
	for range 4 {
		code, err := o.crowd.code(o.client)
		if err != nil {
			o.t.Fatal(err)
		}
		o.codes = append(o.codes, code)
	}
}

// reply is an answer with what it took.
type reply struct {
	status int
	header http.Header
	body   string
	took   time.Duration
}

func (o *outage) send(method, address, body string, header ...string) reply {
	o.t.Helper()
	req, err := http.NewRequest(method, address, strings.NewReader(body))
	if err != nil {
		o.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	began := time.Now()
	resp, err := o.client.Do(req)
	if err != nil {
		o.t.Fatalf("no answer after %s: %v", time.Since(began).Round(time.Millisecond), err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		o.t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, string(raw), time.Since(began).Round(time.Millisecond)}
}

func (o *outage) at(path string) string { return o.node.url() + path }

// fromMemory are the answers that need no database for those who were seen before.
func (o *outage) fromMemory() map[string]reply {
	o.t.Helper()
	issuer := "/application/o/" + o.crowd.op.slug + "/"
	return map[string]reply{
		"guarded page": o.send(http.MethodGet, o.crowd.app+"/fast", "", "Accept", "application/json"),
		"discovery":    o.send(http.MethodGet, o.at(issuer+".well-known/openid-configuration"), ""),
		"key set":      o.send(http.MethodGet, o.at(issuer+"jwks/"), ""),
		"userinfo":     o.send(http.MethodGet, o.at("/application/o/userinfo/"), "", "Authorization", "Bearer "+o.bearer),
	}
}

func (o *outage) health(what string) int {
	o.t.Helper()
	return o.send(http.MethodGet, o.at("/-/health/"+what+"/"), "").status
}

func (o *outage) exchange(code string) reply {
	o.t.Helper()
	form := traded(code)
	form.Set("client_id", o.crowd.op.clientID)
	form.Set("client_secret", o.crowd.op.secret)
	return o.send(http.MethodPost, o.at("/application/o/token/"), form.Encode(), "Content-Type", "application/x-www-form-urlencoded")
}

// away checks what everybody gets while the database is away. It comes first to the token endpoint, where
// the database is not yet known to be away.
func (o *outage) away(how string) {
	o.t.Helper()
	for _, code := range o.codes {
		got := o.exchange(code)
		var e struct {
			Error string `json:"error"`
		}
		_ = json.Unmarshal([]byte(got.body), &e)
		if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" || e.Error != "temporarily_unavailable" {
			o.t.Errorf("%s: a code's exchange: %d, Retry-After %q: %s", how, got.status, got.header.Get("Retry-After"), tail(got.body, 300))
		}
		if code == o.codes[0] {
			o.t.Logf("%s: the first exchange was refused after %s", how, got.took)
		}
	}
	began := time.Now()
	page := o.outside.submit(o.form, "alice", password("alice"))
	if page.status != http.StatusServiceUnavailable || page.header.Get("Retry-After") == "" || !strings.Contains(page.body, "try again") && !strings.Contains(page.body, "Try again") {
		o.t.Errorf("%s: a login: %d, Retry-After %q: %s", how, page.status, page.header.Get("Retry-After"), tail(page.body, 500))
	}
	o.t.Logf("%s: a login was refused after %s", how, time.Since(began).Round(time.Millisecond))
	if got := o.crowd.tryCode(o.client); strings.Contains(got.text, "code=") || !strings.Contains(got.text, "temporarily_unavailable") && got.status != http.StatusServiceUnavailable {
		o.t.Errorf("%s: a code that cannot be stored: %d %s", how, got.status, tail(got.text, 300))
	}
	eventually(o.t, how+": the node is not ready", func() bool { return o.health("ready") == http.StatusServiceUnavailable })
	if got := o.health("live"); got != http.StatusOK {
		o.t.Errorf("%s: live: %d", how, got)
	}
	for what, got := range o.fromMemory() {
		if got.status != http.StatusOK {
			o.t.Errorf("%s: %s: %d %s", how, what, got.status, tail(got.body, 300))
		}
	}
}

// works checks that all of it works.
func (o *outage) works(when string) {
	o.t.Helper()
	took := eventually(o.t, when+": the node is ready", func() bool { return o.health("ready") == http.StatusOK })
	for what, got := range o.fromMemory() {
		if got.status != http.StatusOK {
			o.t.Errorf("%s: %s: %d %s", when, what, got.status, tail(got.body, 300))
		}
	}
	took += eventually(o.t, when+": a code is given and traded", func() bool {
		code, err := o.crowd.code(o.client)
		if err == nil {
			_, err = o.crowd.token(o.client, traded(code))
		}
		return err == nil
	})
	o.crowd.person()
	o.t.Logf("%s: all works after %s", when, took)
}

// once checks that none of the codes whose exchange failed is traded twice: what came to the database and what
// did not cannot be told apart.
func (o *outage) once() (n int) {
	o.t.Helper()
	for _, code := range o.codes {
		took := 0
		for range 3 {
			switch got := o.exchange(code); {
			case got.status == http.StatusOK:
				took++
			case got.status != http.StatusBadRequest || !strings.Contains(got.body, `"invalid_grant"`):
				o.t.Errorf("a code for the second time: %d %s", got.status, tail(got.body, 300))
			}
		}
		if took > 1 {
			o.t.Errorf("a code was traded %d times", took)
		}
		n += took
	}
	return n
}

// behind is a database's URL through the wire.
func behind(database *url.URL, w *wire) *url.URL {
	u := *database
	u.Host = w.listener.Addr().String()
	return &u
}

// L-07: the network to PostgreSQL hangs, is cut, or loses what PostgreSQL says, and comes back. Who is inside
// stays inside, what can be told from memory is told, the rest is refused soon with 503, nothing is promised that
// was not stored, and afterwards all works again.
func TestDatabaseOutOfReach(t *testing.T) {
	database := newDatabase(t)
	link := newWire(t, database.Host)
	f := newFleet(t)
	node := f.add(t, behind(database, link), "revocation_staleness 5m", "")
	ran(t, "caddy")
	ran(t, "postgresql")
	// The control believes nothing that it cannot ask for: where it lets somebody in, the database is not away.
	strict := f.add(t, behind(database, link), "revocation_staleness 0s", "")
	o := newOutage(t, node)
	visitor := f.person(t)
	visitor.login(f.app()+"/", "alice")
	if ok, status := visitor.let(strict); !ok {
		t.Fatalf("control: %d before the outage", status)
	}
	for _, how := range []struct {
		name string
		wire wireState
	}{{"hangs", wireState{hangs: true}}, {"is mute", wireState{mute: true}}, {"is cut", wireState{cut: true}}} {
		t.Run(how.name, func(t *testing.T) {
			o.under(t)
			o.prepare()
			link.set(how.wire)
			o.away(how.name)
			if ok, status := visitor.let(strict); ok || status != http.StatusServiceUnavailable {
				t.Errorf("control: a node that may not decide from memory answers %d", status)
			}
			link.set(wireState{})
			o.works("the network is back")
			t.Logf("%d of %d codes could be traded afterwards", o.once(), len(o.codes))
			eventually(t, "the strict node lets in again", func() bool { ok, _ := visitor.let(strict); return ok })
		})
	}

	t.Run("control: a code that may be used twice is noticed", func(t *testing.T) {
		o.under(t)
		code, err := o.crowd.code(o.client)
		if err != nil {
			t.Fatal(err)
		}
		execute(t, database, `CREATE FUNCTION unused() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN NEW.used = 0; RETURN NEW; END $f$;
			CREATE TRIGGER unused BEFORE UPDATE ON codes FOR EACH ROW EXECUTE FUNCTION unused()`)
		if one, two := o.exchange(code), o.exchange(code); one.status != http.StatusOK || two.status != http.StatusOK {
			t.Errorf("%d and %d: the other cases show nothing", one.status, two.status)
		}
	})
}
