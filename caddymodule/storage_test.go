package caddymodule

import (
	"context"
	"errors"
	"io/fs"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/certmagic"

	"github.com/postern-sso/postern/storage/sqldb"
)

// What certmagic is promised, through the interface that it has.
func TestStorage(t *testing.T) {
	a := openApp(t, nil)
	s := &Storage{app: a}
	t.Cleanup(func() {
		if err := s.Cleanup(); err != nil {
			t.Error(err)
		}
	})
	var store certmagic.Storage
	store, err := s.CertMagicStorage()
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ok(err)
	ctx := t.Context()
	if _, err := store.Load(ctx, "a/b.key"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("load: %v", err)
	}
	if _, err := store.Stat(ctx, "a/b.key"); !errors.Is(err, fs.ErrNotExist) || store.Exists(ctx, "a/b.key") || store.Exists(ctx, "a") {
		t.Errorf("stat: %v", err)
	}
	ok(store.Store(ctx, "a/b.key", []byte("key")))
	got, err := store.Load(ctx, "a/b.key")
	if err != nil || string(got) != "key" || !store.Exists(ctx, "a/b.key") || !store.Exists(ctx, "a") {
		t.Errorf("%q, %v", got, err)
	}
	info, err := store.Stat(ctx, "a/b.key")
	if err != nil || info.Key != "a/b.key" || info.Size != 3 || !info.IsTerminal || info.Modified.IsZero() {
		t.Errorf("%+v, %v", info, err)
	}
	if info, err := store.Stat(ctx, "a"); err != nil || info.IsTerminal {
		t.Errorf("%+v, %v", info, err)
	}
	if keys, err := store.List(ctx, "a", false); err != nil || len(keys) != 1 || keys[0] != "a/b.key" {
		t.Errorf("%v, %v", keys, err)
	}
	ok(store.Delete(ctx, "a"))
	if _, err := store.List(ctx, "a", true); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("list: %v", err)
	}
}

// Two configurations have the same locks: what began under one ends after it, and the last to go
// leaves none.
func TestStorageOverReload(t *testing.T) {
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	defer cancel()
	a := openApp(t, nil)
	a.ctx = ctx
	before, after := &Storage{app: a}, &Storage{app: a}
	if err := before.Lock(t.Context(), "issue"); err != nil {
		t.Fatal(err)
	}
	if taken, err := after.TryLock(t.Context(), "issue"); err != nil || taken {
		t.Fatal("two configurations hold one lock", err)
	}
	for range 2 {
		if before.Cleanup() != nil {
			t.Fatal("cleanup")
		}
	}
	if err := before.RenewLockLease(t.Context(), "issue", time.Hour); err != nil {
		t.Fatal(err)
	}
	if err := before.Unlock(t.Context(), "issue"); err != nil {
		t.Fatal(err)
	}
	if taken, err := after.TryLock(t.Context(), "issue"); err != nil || !taken {
		t.Fatal("the lock of a configuration that ended is held for ever", err)
	}
	if err := before.Unlock(t.Context(), "other"); !errors.Is(err, sqldb.ErrNotHeld) {
		t.Errorf("gave back what nobody had: %v", err)
	}
	if err := after.Cleanup(); err != nil {
		t.Fatal(err)
	}
	if refs, _ := pool.References(a.settings.poolKey()); refs != 1 {
		t.Errorf("%d use the stores, and one app does", refs)
	}
	// One that was never used does not open anything when it is over.
	late := &Storage{app: a}
	if err := late.Cleanup(); err != nil {
		t.Fatal(err)
	}
	if _, err := late.Load(t.Context(), "x"); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("opened after the end: %v", err)
	}
	if refs, _ := pool.References(a.settings.poolKey()); refs != 1 {
		t.Errorf("%d use the stores, and one app does", refs)
	}
	// A process that ends, and only then hears of locks.
	if err := a.Cleanup(); err != nil {
		t.Fatal(err)
	}
	if err := after.Unlock(t.Context(), "issue"); err != nil {
		t.Errorf("it was given back at the end: %v", err)
	}
	if _, err := after.Load(t.Context(), "x"); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("read from what is closed: %v", err)
	}
}
