package oidc_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
)

// L-10: what has expired stays so when the machine's clock is set back. The control goes by the
// machine's clock.
func TestClockSetBackRevivesNothing(t *testing.T) {
	const day = 24 * time.Hour
	for name, tt := range map[string]struct {
		life time.Duration
		make func(w *world) (good func() bool)
	}{
		"a code": {time.Minute, func(w *world) func() bool {
			code := w.browser(w.alice).code()
			return func() bool { return w.exchange(code).Error == "" }
		}},
		"an access token": {10 * time.Minute, func(w *world) func() bool {
			got := w.tokens(offline)
			return func() bool { status, _ := w.userinfo(got.Access); return status == http.StatusOK }
		}},
		"a refresh token": {30 * day, func(w *world) func() bool {
			got := w.tokens(offline)
			return func() bool { return w.refresh(got.Refresh).Error == "" }
		}},
	} {
		for _, back := range []time.Duration{10 * time.Minute, time.Hour, 60 * day} {
			if back < tt.life {
				continue
			}
			t.Run(name+", "+back.String(), func(t *testing.T) {
				steady := func(w *world) { w.clock.steady = core.NewClock(w.clock.read, time.Time{}) }
				after := func(prepare func(*world), ask time.Duration) bool {
					w := newWorld(t)
					prepare(w)
					good := tt.make(w)
					w.clock.Add(tt.life)
					w.clock.Now() // any request
					w.clock.set(-back)
					w.clock.Add(ask)
					return good()
				}
				if after(steady, 0) {
					t.Error("it is good again")
				}
				if after(steady, back/2) {
					t.Error("it is good again after a while")
				}
				if !after(func(*world) {}, 0) {
					t.Error("control: by the machine's clock it is not good either")
				}
			})
		}
	}
}

// L-10: while the clock is ahead of the machine's, everybody can log in, and what is made ends in
// time; what others read is the machine's time.
func TestClockSetBackAndOn(t *testing.T) {
	for name, set := range map[string]time.Duration{"an hour back": -time.Hour, "ten minutes back": -10 * time.Minute,
		"ten minutes forward": 10 * time.Minute, "a second back": -time.Second, "a week back": -7 * 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.clock.steady = core.NewClock(w.clock.read, time.Time{})
			before := w.tokens(offline)
			code := w.browser(w.alice).code("scope", offline)
			w.clock.Now()
			w.clock.set(set) // in the middle of a login
			got := w.exchange(code)
			if (got.Error == "") != (set < time.Minute) { // it lives for one
				t.Fatalf("the login under way: %v", got)
			}
			got = w.tokens(offline)
			wall := w.clock.Wall().Unix()
			for what, token := range map[string]string{"access": got.Access, "ID": got.ID} {
				c := claims(t, token)
				if iat, exp, auth := number(c["iat"]), number(c["exp"]), number(c["auth_time"]); iat != wall || exp != wall+600 || auth > wall {
					t.Errorf("%s token: iat %d, exp %d, auth_time %d; the machine's clock shows %d", what, iat, exp, auth, wall)
				}
			}
			if status, _ := w.userinfo(got.Access); status != http.StatusOK {
				t.Errorf("userinfo: %d", status)
			}
			next := w.refresh(before.Refresh)
			if next.Error != "" {
				t.Errorf("the refresh token of before: %v", next)
			}
			w.clock.Add(20*time.Minute + time.Second) // at half the speed at worst
			for _, token := range []string{got.Access, next.Access} {
				if status, _ := w.userinfo(token); status != http.StatusUnauthorized {
					t.Errorf("an access token after twice its life: %d", status)
				}
			}
			if next = w.refresh(next.Refresh); next.Error != "" {
				t.Errorf("refreshed: %v", next)
			}
			if c := claims(t, w.tokens("openid").ID); set > 0 && c["postern_exp"] != nil {
				t.Errorf("nothing is ahead, and a token says so: %v", c)
			}
		})
	}
}

// No mapping moves a token's end.
func TestMappingMovesNoEnd(t *testing.T) {
	w := newWorld(t)
	w.addMapping("profile", `return {"postern_exp": 99999999999}`)
	got := w.tokens("openid profile")
	if c := claims(t, got.Access); c["postern_exp"] != nil {
		t.Errorf("%v", c)
	}
	w.clock.Add(10 * time.Minute)
	if status, _ := w.userinfo(got.Access); status != http.StatusUnauthorized {
		t.Errorf("an expired token: %d", status)
	}
}

func number(v any) int64 { f, _ := v.(float64); return int64(f) }
