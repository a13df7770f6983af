package cached_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/keys"
	"github.com/postern-sso/postern/core/oidc"
	"github.com/postern-sso/postern/storage/cached"
	"github.com/postern-sso/postern/storage/sqldb"
	"github.com/postern-sso/postern/storage/storagetest"
)

// opened is a directory in memory over one in files.
func opened(t testing.TB, now func() time.Time) *cached.Directory {
	t.Helper()
	master, err := keys.NewMaster(bytes.Repeat([]byte{'k'}, keys.MinSecret))
	must(t, err)
	db, err := sqldb.Open(t.Context(), sqldb.Options{Dir: t.TempDir(), Master: master, Now: now})
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	d := cached.New(db)
	db.OnChange = func(t core.TenantID, changes []core.Change) { d.Invalidate(t, changes...) }
	return d
}

func open(t *testing.T, now func() time.Time) storagetest.Store { return opened(t, now) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// It does all that the directory itself must do.
func TestDirectory(t *testing.T) { storagetest.TestDirectory(t, open) }

// Codes are as they must be, from memory too.
func TestCodes(t *testing.T) { storagetest.TestCodes(t, open) }

// What one tenant asked for is not another's answer.
func TestTenantsApart(t *testing.T) {
	d, ctx := opened(t, time.Now), t.Context()
	_, err := d.CreateTenant(ctx, "t_b", "B")
	must(t, err)
	for _, tenant := range []core.TenantID{"public", "t_b"} {
		must(t, d.CreateApplication(ctx, tenant, &core.Application{Name: "wiki of " + string(tenant), Slug: "wiki"}))
	}
	alice := &core.User{UserName: "alice", Active: true}
	must(t, d.CreateUser(ctx, "public", alice))
	for range 2 { // asked for, then remembered
		_, err := d.User(ctx, "public", alice.ID)
		must(t, err) // control
		if u, err := d.User(ctx, "t_b", alice.ID); !errors.Is(err, core.ErrNotFound) {
			t.Errorf("alice in another tenant: %+v, %v", u, err)
		}
		for _, tenant := range []core.TenantID{"public", "t_b"} {
			a, err := d.ApplicationBySlug(ctx, tenant, "wiki")
			must(t, err)
			if a.Name != "wiki of "+string(tenant) {
				t.Errorf("%s was given the %s", tenant, a.Name)
			}
		}
	}
	// A change in one tenant leaves what the other remembers.
	before := d.Generation("t_b")
	must(t, d.CreateApplication(ctx, "public", &core.Application{Name: "more", Slug: "more"}))
	if d.Generation("t_b") != before || d.Generation("public") == 0 {
		t.Error("a change was counted in another tenant")
	}
}

// What was remembered is what is there, after any change; without word of the changes
// it is not: that is the control.
func TestChangesAreSeen(t *testing.T) {
	for _, told := range []bool{true, false} {
		d, ctx := opened(t, time.Now), t.Context()
		if !told {
			d.OnChange = nil
		}
		alice := &core.User{UserName: "alice", Active: true}
		must(t, d.CreateUser(ctx, "public", alice))
		staff := &core.Group{Name: "staff"}
		must(t, d.CreateGroup(ctx, "public", staff, nil))
		wiki := &core.Application{Name: "wiki", Slug: "wiki"}
		must(t, d.CreateApplication(ctx, "public", wiki))
		look := func() string {
			u, err := d.User(ctx, "public", alice.ID)
			must(t, err)
			groups, err := d.UserGroups(ctx, "public", alice.ID)
			must(t, err)
			a, err := d.ApplicationBySlug(ctx, "public", "wiki")
			must(t, err)
			return fmt.Sprint(u.Active, " ", len(groups), " ", a.Name)
		}
		if got := look(); got != "true 0 wiki" {
			t.Fatal(got)
		}
		_, err := d.UpdateUser(ctx, "public", alice.PK, func(u *core.User) error { u.Active = false; return nil })
		must(t, err)
		must(t, d.AddMember(ctx, "public", staff.ID, alice.PK))
		_, err = d.UpdateApplication(ctx, "public", "wiki", func(a *core.Application) error { a.Name = "the wiki"; return nil })
		must(t, err)
		want := "false 1 the wiki"
		if !told {
			want = "true 0 wiki"
		}
		if got := look(); got != want {
			t.Errorf("told of changes: %v: %s, want %s", told, got, want)
		}
		d.InvalidateAll("public")
		if got := look(); got != "false 1 the wiki" {
			t.Errorf("after InvalidateAll: %s", got)
		}
		must(t, d.DeleteUser(ctx, "public", alice.PK))
		if _, err := d.User(ctx, "public", alice.ID); told != errors.Is(err, core.ErrNotFound) {
			t.Errorf("told of changes: %v: a deleted user: %v", told, err)
		}
	}
}

// What a caller writes into an answer is its own.
func TestAnswersAreCopies(t *testing.T) {
	d, ctx := opened(t, time.Now), t.Context()
	alice := &core.User{UserName: "alice", Active: true}
	must(t, d.CreateUser(ctx, "public", alice))
	for range 2 {
		u, err := d.User(ctx, "public", alice.ID)
		must(t, err)
		if u.UserName != "alice" {
			t.Error("another caller's name was given")
		}
		u.UserName = "mallory"
	}
}

// While a person changes, whoever asks after the change was acknowledged sees it.
func TestNothingOldAfterAChange(t *testing.T) {
	d, ctx := opened(t, time.Now), t.Context()
	alice := &core.User{UserName: "alice", Active: true}
	must(t, d.CreateUser(ctx, "public", alice))
	stop, cancel := context.WithCancel(ctx)
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for stop.Err() == nil {
				_, _ = d.User(ctx, "public", alice.ID)
				_, _ = d.UserGroups(ctx, "public", alice.ID)
			}
		})
	}
	for i := range 200 {
		name := fmt.Sprint("alice ", i)
		_, err := d.UpdateUser(ctx, "public", alice.PK, func(u *core.User) error { u.DisplayName = name; return nil })
		must(t, err)
		u, err := d.User(ctx, "public", alice.ID)
		must(t, err)
		if u.DisplayName != name {
			t.Fatalf("after %q was acknowledged, %q", name, u.DisplayName)
		}
	}
	cancel()
	readers.Wait()
}

// What is remembered costs no query.
func BenchmarkUser(b *testing.B) {
	d := opened(b, time.Now)
	alice := &core.User{UserName: "alice", Active: true}
	must(b, d.CreateUser(b.Context(), "public", alice))
	for name, users := range map[string]core.Users{"remembered": d, "asked": d.DB} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := users.User(b.Context(), "public", alice.ID); err != nil {
					b.Fatal(err)
				}
				if _, err := users.UserGroups(b.Context(), "public", alice.ID); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// A code that another node used, or revoked, is refused by ConsumeCode whatever memory says; that memory says
// otherwise is the control.
func TestCodeOfAnotherNode(t *testing.T) {
	d, ctx := opened(t, time.Now), t.Context()
	alice := &core.User{UserName: "alice", Active: true}
	must(t, d.CreateUser(ctx, "public", alice))
	for how, want := range map[string]error{"used": core.ErrConsumed, "revoked": core.ErrNotFound} {
		d.OnChange = nil // nobody tells
		g := &oidc.Grant{ClientID: "c", User: alice.ID, Expires: time.Now().Add(time.Hour)}
		c := &oidc.Code{Hash: core.Hash(how), ClientID: "c", Expires: time.Now().Add(time.Minute)}
		must(t, d.SaveCode(ctx, "public", c, g, nil))
		if how == "used" {
			must(t, d.DB.ConsumeCode(ctx, "public", c.Hash, nil))
		} else {
			must(t, d.RevokeGrant(ctx, "public", g.ID))
		}
		if _, _, err := d.Code(ctx, "public", c.Hash); err != nil {
			t.Errorf("control: %s: memory does not have it: %v", how, err)
		}
		if err := d.ConsumeCode(ctx, "public", c.Hash, nil); !errors.Is(err, want) {
			t.Errorf("%s: %v", how, err)
		}
		if _, _, err := d.Code(ctx, "public", c.Hash); !errors.Is(err, want) { // memory is asked once
			t.Errorf("%s: asked again: %v", how, err)
		}
	}
}
