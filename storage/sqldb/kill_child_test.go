package sqldb_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/keys"
	"github.com/postern-sso/postern/storage/sqldb"
)

// What tells a copy of the test binary to be the process that is killed: what to do,
// and on which directory.
const (
	childMode = "POSTERN_TEST_CHILD"
	childDir  = "POSTERN_TEST_CHILD_DIR"
	childURL  = "POSTERN_TEST_CHILD_URL"
	childID   = "POSTERN_TEST_CHILD_ID" // a number that no other child of the directory has
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(upgradeDir); dir != "" {
		fmt.Println(upgradeChild(dir))
		os.Exit(1) // only a kill ends it otherwise
	}
	if mode := os.Getenv(childMode); mode != "" {
		if err := child(mode); err != nil {
			fmt.Println("error", err)
		}
		os.Exit(1) // a kill ends it otherwise
	}
	if url := os.Getenv(rewrapURL); url != "" {
		fmt.Println(rewrapChild(url))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func childOptions(dir, address string) (sqldb.Options, error) {
	m, err := keys.NewMaster(bytes.Repeat([]byte{'k'}, keys.MinSecret))
	return sqldb.Options{Dir: dir, URL: address, Master: m,
		NewKeyPair: func() (*core.KeyPair, error) { return &core.KeyPair{Certificate: "c", PrivateKey: "p"}, nil },
		Mappings: []core.PropertyMapping{
			{Kind: core.MappingScope, Managed: "m/email", Name: "email", Expression: "return {}", ScopeName: "email"},
			{Kind: core.MappingScope, Managed: "m/profile", Name: "profile", Expression: "return {}", ScopeName: "profile"},
		}}, err
}

// child does what its mode says until it is killed, and says before each write that it
// tries and after it that it is done. One write(2) each: a line is said whole or not at all.
func child(mode string) error {
	opt, err := childOptions(os.Getenv(childDir), os.Getenv(childURL))
	if err != nil {
		return err
	}
	ctx := context.Background()
	db, err := sqldb.Open(ctx, opt)
	if err != nil {
		return err
	}
	say("opened")
	switch mode {
	case "found":
		return foundTenants(ctx, db)
	case "unsynced":
		for _, t := range []core.TenantID{"public", "t_two"} {
			if err := db.Unsynced(ctx, t); err != nil {
				return err
			}
		}
	}
	errs := make(chan error)
	for writer := range 3 {
		go func() {
			for i := 0; ; i++ {
				if err := live(ctx, db, fmt.Sprintf("k-%s-%d-%d", os.Getenv(childID), writer, i), mode == "early", say); err != nil {
					errs <- err
					return
				}
			}
		}()
	}
	return <-errs
}

// say prints a line. Without anybody who listens there is nothing to do.
func say(words ...any) {
	if _, err := fmt.Fprintln(os.Stdout, words...); err != nil {
		os.Exit(1)
	}
}

// live goes through one story. The control acknowledges early: before the commit.
func live(ctx context.Context, db *sqldb.DB, name string, early bool, say func(...any)) error {
	s, err := tell(db, name)
	if err != nil {
		return err
	}
	for i, st := range s.steps() {
		say("try", name, i)
		if early {
			say("done", name, i)
		}
		if err := st.do(ctx, s); err != nil {
			return fmt.Errorf("%s, %s: %w", name, st.name, err)
		}
		if !early {
			say("done", name, i)
		}
	}
	return nil
}

// foundTenants makes tenants, each with a domain, until it is killed.
func foundTenants(ctx context.Context, db *sqldb.DB) error {
	for i := range 100 {
		id := core.TenantID(fmt.Sprintf("t_n%d", i))
		if _, err := db.CreateTenant(ctx, id, string(id)); err != nil {
			if errors.Is(err, core.ErrExists) {
				continue
			}
			return err
		}
		say("tenant", id)
		if err := db.CreateDomain(ctx, &core.Domain{Tenant: id, Name: string("n" + fmt.Sprint(i) + ".test"), Primary: true}); err != nil {
			return err
		}
		say("domain", i)
	}
	return errors.New("there are enough tenants")
}
