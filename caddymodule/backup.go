package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/keys"
	"github.com/postern-sso/postern/storage/backup"
	"github.com/postern-sso/postern/storage/sqldb"
)

// backupInput is what is asked of a backup.
type backupInput struct {
	Passphrase      string `json:"passphrase,omitempty"`
	WithoutSessions bool   `json:"without_sessions,omitempty"`
}

func (in *backupInput) options(secret core.Secret) (sqldb.BackupOptions, error) {
	if n := len(in.Passphrase); n > 0 && n < backup.MinPassphrase {
		return sqldb.BackupOptions{}, &core.FieldError{Field: "passphrase", Message: fmt.Sprintf("It has %d bytes and needs at least %d.", n, backup.MinPassphrase)}
	}
	return sqldb.BackupOptions{Product: Version, Passphrase: core.Secret(in.Passphrase), Secret: secret, WithoutSessions: in.WithoutSessions}, nil
}

// streams are the actions of the admin API that answer with a file.
func streams() map[string]func(ctx context.Context, app *App, w http.ResponseWriter, body []byte) error {
	return map[string]func(context.Context, *App, http.ResponseWriter, []byte) error{
		"backup": func(ctx context.Context, app *App, w http.ResponseWriter, body []byte) error {
			run := taking(func(_ context.Context, in backupInput) (*backupInput, error) { return &in, nil })
			in, err := run(ctx, body)
			if err != nil {
				return adminError(err)
			}
			secret, _, err := masterSecret(app.settings)
			if err != nil {
				return adminError(err)
			}
			opt, err := in.(*backupInput).options(core.Secret(secret))
			if err != nil {
				return adminError(err)
			}
			return spool(w, app.settings.data, func(w io.Writer) error { return app.core.shared.db.Backup(ctx, w, opt) })
		},
		"dump": func(ctx context.Context, app *App, w http.ResponseWriter, _ []byte) error {
			return spool(w, app.settings.data, func(w io.Writer) error { return app.core.shared.db.Dump(ctx, w) })
		},
	}
}

// spool answers with a file that is complete before the first byte leaves: a reader
// who is slow holds no transaction open, and an error is told as one.
func spool(w http.ResponseWriter, dir string, write func(io.Writer) error) (err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil { // with PostgreSQL it may not be there yet
		return adminError(fmt.Errorf("make the data directory: %w", err))
	}
	f, err := os.CreateTemp(dir, ".spool-*") // mode 0600
	if err != nil {
		return adminError(fmt.Errorf("make a temporary file: %w", err))
	}
	defer f.Close() // of no more use
	// Without a name nothing is left of it, however this process ends. A system that does
	// not take the name of an open file takes it at the end.
	if err := os.Remove(f.Name()); err != nil {
		defer os.Remove(f.Name())
	}
	if err := write(f); err != nil {
		return adminError(err)
	}
	size, err := f.Seek(0, io.SeekCurrent)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return adminError(err)
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	_, err = io.Copy(w, f)
	return err
}

// directoryOptions say where the directory of these settings is, for what works on it
// without a server.
func directoryOptions(s settings, secret []byte) (sqldb.Options, error) {
	m, err := keys.NewMaster(secret)
	return sqldb.Options{URL: string(s.database), Dir: s.data, Master: m, Product: Version}, err
}

// writeOffline writes a backup or a dump of a directory that no server has open.
func writeOffline(ctx context.Context, s settings, name string, in []byte, w io.Writer) error {
	// A secret is not made here: there would be nothing that it opens.
	secret, err := new(restoreInput).known(s)
	if err != nil {
		return err
	}
	if secret == "" {
		return fmt.Errorf("there is no data yet, or its secret is missing: neither is `secret` set, nor is there %s", secretPath(s))
	}
	opt, err := directoryOptions(s, []byte(secret))
	if err != nil {
		return err
	}
	if name == "dump" {
		return sqldb.Dump(ctx, opt, w)
	}
	var asked backupInput
	if err := json.Unmarshal(in, &asked); err != nil {
		return err
	}
	bo, err := asked.options(secret)
	if err != nil {
		return err
	}
	return sqldb.Backup(ctx, opt, w, bo)
}

// restoreInput is what is asked of a restore.
type restoreInput struct {
	sqldb.RestoreOptions
	secret     core.Secret                 // of the machine that made the backup, where given
	passphrase func() (core.Secret, error) // asked for where the backup needs one
}

// restoreFile restores a backup to where the settings say. A master secret that came with
// it becomes the data directory's own.
func restoreFile(ctx context.Context, s settings, file io.Reader, in restoreInput) (replaced string, err error) {
	secret, err := in.known(s)
	if err != nil {
		return "", err
	}
	r, err := backup.Open(file, func(h *backup.Header) (backup.Key, error) {
		if h.Sealed == "passphrase" {
			p, err := in.passphrase()
			return backup.Key{Passphrase: p}, err
		}
		if secret == "" {
			return backup.Key{}, fmt.Errorf("the backup is sealed with the master secret, and none is configured: set `secret`, or say --secret-file with the copy of the file %s that was beside the data", secretFile)
		}
		m, err := keys.NewMaster([]byte(secret))
		if err != nil {
			return backup.Key{}, err
		}
		return sqldb.BackupKey(m), nil
	})
	if err != nil {
		return "", err
	}
	if r.Secret != "" {
		if secret != "" && secret != r.Secret {
			return "", errors.New("the data in the backup was written with another master secret than the one that is configured or in the data directory: leave `secret` out and restore into a new data directory, and the backup's own is put there")
		}
		secret = r.Secret
	}
	opt, err := directoryOptions(s, []byte(secret))
	if err != nil {
		return "", err
	}
	kept, err := keepSecret(s, secret)
	if err != nil {
		return "", err
	}
	replaced, err = sqldb.Restore(ctx, opt, r, in.RestoreOptions)
	if err != nil && kept != "" {
		if there, _ := sqldb.Exists(ctx, opt); !there { // no error may take the secret of data that is there
			err = errors.Join(err, os.Remove(kept))
		}
	}
	return replaced, err
}

// known is the master secret as far as it is known without the backup.
func (in *restoreInput) known(s settings) (core.Secret, error) {
	if s.secret != "" {
		if in.secret != "" && in.secret != s.secret {
			return "", errors.New("--secret-file holds another secret than the one that is configured")
		}
		return s.secret, nil
	}
	own, err := readSecret(secretPath(s))
	switch {
	case errors.Is(err, os.ErrNotExist):
		return in.secret, nil
	case err != nil:
		return "", err
	case in.secret != "" && in.secret != core.Secret(own):
		return "", fmt.Errorf("--secret-file holds another secret than %s: restore into a new data directory", secretPath(s))
	}
	return core.Secret(own), nil
}

// keepSecret puts a secret that nobody configured into the data directory, and gives
// the path where it did.
func keepSecret(s settings, secret core.Secret) (string, error) {
	path := secretPath(s)
	if s.secret != "" {
		return "", nil
	}
	if _, err := os.Lstat(path); err == nil {
		return "", nil
	}
	return path, writeSecret(s.data, path, string(secret))
}
