package caddymodule

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/keys"
)

// secretFile is where the master secret is kept that nobody configured.
const secretFile = "secret"

// masterKeys are what the data is sealed with: the master secret, and those before it
// that may still be needed. made is the file of a secret that was made just now.
func masterKeys(s settings) (m *keys.Master, made string, err error) {
	secret, made, err := masterSecret(s)
	if err != nil {
		return nil, "", err
	}
	var old [][]byte
	if s.oldSecret != "" {
		old = append(old, []byte(s.oldSecret))
	}
	if s.secret == "" {
		before, err := readSecret(filepath.Join(s.data, oldSecretFile))
		if err == nil {
			old = append(old, before)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, "", err
		}
	}
	m, err = keys.NewMaster(secret, old...)
	return m, made, err
}

// masterSecret returns the configured secret, or that of the data directory,
// which is made at the first start: then made is its path. It is never made beside data
// that was written with another.
func masterSecret(s settings) (secret []byte, made string, err error) {
	if s.secret != "" {
		return []byte(s.secret), "", nil
	}
	path := secretPath(s)
	for range 2 {
		secret, err := readSecret(path)
		if !errors.Is(err, fs.ErrNotExist) {
			return secret, made, err
		}
		err = createSecret(s, path)
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, "", err
		}
		if err == nil {
			made = path
		}
	}
	secret, err = readSecret(path)
	return secret, made, err
}

func secretPath(s settings) string { return filepath.Join(s.data, secretFile) }

func readSecret(path string) ([]byte, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, fmt.Errorf("read the secret: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a file", path)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s can be read by others than its owner (mode %04o), and whoever has read it can read the whole directory: if nobody did, run `chmod 600 %s`", path, info.Mode().Perm(), path)
	}
	b, err := os.ReadFile(path) //nolint:gosec // below the operator's own directory
	if err != nil {
		return nil, fmt.Errorf("read the secret: %w", err)
	}
	secret := strings.TrimSpace(string(b))
	if len(secret) < keys.MinSecret {
		return nil, fmt.Errorf("%s holds %d bytes and needs at least %d: it is damaged; put the copy of your backup in its place", path, len(secret), keys.MinSecret)
	}
	return []byte(secret), nil
}

// createSecret makes a new secret.
func createSecret(s settings, path string) error {
	dir := s.data
	old, err := filepath.Glob(filepath.Join(dir, "tenants", "*.db"))
	if err != nil {
		return fmt.Errorf("look into the data directory: %w", err)
	}
	if len(old) > 0 && s.database == databaseSQLite {
		return fmt.Errorf("%s is missing, and %s was written with a secret: put the file of your backup there, or set `secret` to the one it was written with", path, old[0])
	}
	return writeSecret(dir, path, core.RandomToken(48))
}

// writeSecret writes a secret under a name of its own and links it into place, so that
// it is there whole or not at all, and only once.
func writeSecret(dir, path, secret string) error {
	name, err := tempSecret(dir, secret)
	if err != nil {
		return err
	}
	defer os.Remove(name) // of no use any more, and harmless where it stays
	if err := os.Link(name, path); err != nil {
		return fmt.Errorf("make the secret: %w", err)
	}
	return syncDir(dir)
}

// tempSecret writes a secret into a file of its own.
func tempSecret(dir, secret string) (name string, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make the data directory: %w", err)
	}
	f, err := os.CreateTemp(dir, ".secret-*") // mode 0600
	if err != nil {
		return "", fmt.Errorf("make the secret: %w", err)
	}
	_, err = f.WriteString(secret + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return "", errors.Join(fmt.Errorf("make the secret: %w", err), os.Remove(f.Name()))
	}
	return f.Name(), nil
}

// syncDir makes a new name durable.
func syncDir(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // the operator's own directory
	if err != nil {
		return fmt.Errorf("sync the data directory: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync the data directory: %w", err)
	}
	return nil
}
