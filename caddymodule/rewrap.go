package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/storage/sqldb"
)

// oldSecretFile is where the secret file is kept that is being replaced, until
// everything is sealed under the new one. While it is there, every start goes on.
const oldSecretFile = "secret.old"

// runRewrap changes the master secret. The lock of the data directory keeps a running server and this apart; on
// PostgreSQL nobody else may be connected: what a node seals meanwhile, nothing would open.
func runRewrap(cmd *cobra.Command, _ []string) error {
	flags := cmd.Flags()
	config, err := flags.GetString("config")
	if err != nil {
		return err
	}
	adapter, err := flags.GetString("adapter")
	if err != nil {
		return err
	}
	path, err := flags.GetString("old-secret-file")
	if err != nil {
		return err
	}
	if config == "" {
		return errors.New("say --config <Caddyfile>: it says where the data is, and what the secret is to be")
	}
	loaded, err := loadConfig(config, adapter)
	if err != nil {
		return err
	}
	s, err := loaded.Apps.Postern.resolve(os.LookupEnv)
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	if ctx == nil {
		ctx = context.Background()
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	if path != "" {
		b, err := os.ReadFile(path) //nolint:gosec // the operator names the file
		if err != nil {
			return fmt.Errorf("--old-secret-file: %w", err)
		}
		s.oldSecret = core.Secret(strings.TrimSpace(string(b)))
		if err := checkSecret("old_secret", string(s.oldSecret)); err != nil || s.oldSecret == "" {
			return fmt.Errorf("--old-secret-file: %s does not hold a secret", path)
		}
	}
	if s.database != databaseSQLite {
		err := sqldb.Unserved(ctx, sqldb.Options{URL: string(s.database)})
		if errors.Is(err, sqldb.ErrLocked) || errors.Is(err, sqldb.ErrPooled) {
			return fmt.Errorf("%w; or change it while they serve, with `old_secret`", s.blame(err))
		}
		if err != nil {
			return s.blame(err)
		}
	}
	var n int
	if s.secret == "" {
		n, err = rewrapFile(ctx, s, log)
	} else {
		n, err = rewrapConfigured(ctx, s, log)
	}
	if errors.Is(err, sqldb.ErrLocked) {
		return fmt.Errorf("%w: stop the server first", err)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "The master secret is changed: %d secrets were sealed anew. The old one opens nothing any more.\n", n)
	return err
}

// rewrapConfigured brings the data to the secret of the configuration.
func rewrapConfigured(ctx context.Context, s settings, log *slog.Logger) (int, error) {
	if s.oldSecret == "" {
		return 0, errors.New("give the secret which the data was written with, in the file --old-secret-file or in the variable POSTERN_OLD_SECRET; `secret` is the new one")
	}
	return openAndClose(ctx, s, log)
}

// openAndClose opens the directory, which seals everything anew that has to be, if it may.
func openAndClose(ctx context.Context, s settings, log *slog.Logger) (int, error) {
	sh, err := openShared(ctx, s, core.MachineTime(), log)
	if err != nil {
		return 0, err
	}
	n := sh.db.Rewrapped()
	return n, errors.Join(sh.db.MayRewrap(ctx), sh.Destruct())
}

// rewrapFile puts a new random secret in the place of the file. One that was begun
// before is brought to its end instead.
func rewrapFile(ctx context.Context, s settings, log *slog.Logger) (int, error) {
	begun, err := hasOldSecret(s)
	if err != nil {
		return 0, err
	}
	if s.oldSecret != "" && !begun {
		return 0, errors.New("the configuration has no `secret`, so a new one is made here: leave --old-secret-file and POSTERN_OLD_SECRET out, or set `secret`")
	}
	n, err := openAndClose(ctx, s, log) // that it is ours alone, and can be read
	if err != nil || begun {
		return n, err
	}
	if err := replaceSecret(s.data); err != nil {
		return 0, err
	}
	return openAndClose(ctx, s, log)
}

func hasOldSecret(s settings) (bool, error) {
	_, err := os.Lstat(filepath.Join(s.data, oldSecretFile))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// replaceSecret keeps the file as secret.old and puts a new one in its place. At every
// moment both names that are needed are there.
func replaceSecret(dir string) error {
	path := filepath.Join(dir, secretFile)
	next, err := tempSecret(dir, core.RandomToken(48))
	if err != nil {
		return err
	}
	defer os.Remove(next) // gone already where all went well
	if err := os.Link(path, filepath.Join(dir, oldSecretFile)); err != nil {
		return fmt.Errorf("keep the old secret: %w", err)
	}
	if err := syncDir(dir); err != nil {
		return err
	}
	if err := os.Rename(next, path); err != nil {
		return fmt.Errorf("put the new secret in place: %w", err)
	}
	return syncDir(dir)
}

// forgetOldSecret removes the file of the secret before, once nothing needs it.
func forgetOldSecret(s settings) error {
	if s.secret != "" {
		return nil
	}
	err := os.Remove(filepath.Join(s.data, oldSecretFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove the secret before: %w", err)
	}
	return syncDir(s.data)
}
