package caddymodule

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/login"
	"github.com/postern-sso/postern/storage/backup"
	"github.com/postern-sso/postern/storage/sqldb"
)

func backupCommands() []*cobra.Command {
	save := &cobra.Command{
		Use: "backup -o <file>", Short: "Writes everything into one encrypted file", Args: cobra.NoArgs, SilenceUsage: true,
		Long: `
Writes everything, people, applications, keys, grants and logins of all tenants,
into one encrypted file, while the server goes on.

The file is sealed with the master secret: keep a copy of that, too, elsewhere than
the backups and the data. Or seal it with a passphrase: such a file carries the
master secret, and file and passphrase are all that a restore needs.`,
		RunE: runBackup,
	}
	save.Flags().StringP("output", "o", "", "File to write, - for standard output")
	save.Flags().Bool("passphrase", false, "Seal it with a passphrase, read from the terminal or standard input")
	save.Flags().String("passphrase-file", "", "Seal it with the passphrase in this file")
	save.Flags().Bool("without-sessions", false, "Leave logins out: after a restore everybody logs in again")
	load := &cobra.Command{
		Use: "restore <file>", Short: "Restores a backup; the server has to be stopped", Args: cobra.ExactArgs(1), SilenceUsage: true,
		Long: `
Restores a backup to where --config says the data is, from SQLite to PostgreSQL or
back where that differs. All servers have to be stopped. Nothing is changed before
the whole file was read and found sound, and then everything at once. Data that is
there is replaced only with --replace, and a snapshot of it is made first.`,
		RunE: runRestore,
	}
	load.Flags().Bool("replace", false, "Replace the data that is there")
	load.Flags().Bool("without-sessions", false, "Leave logins out: everybody logs in again")
	load.Flags().String("secret-file", "", "Copy of the file `secret` that was beside the data")
	load.Flags().String("passphrase-file", "", "File with the passphrase of the backup; default: it is asked for, or read from standard input")
	back := &cobra.Command{
		Use: "rollback", Short: "Puts back the data of before the last upgrade; the server has to be stopped", Args: cobra.NoArgs, SilenceUsage: true,
		Long: `
Restores the snapshot that the last upgrade made before it changed anything. What was
written since is lost, but for a snapshot of it. The tables are left in the old version:
start the version of the program that they belong to.`,
		RunE: runRollback,
	}
	text := &cobra.Command{
		Use: "dump", Short: "Prints all tables as sorted text, to compare two installations", Args: cobra.NoArgs, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return fetch(cmd, "dump", []byte("{}"), cmd.OutOrStdout())
		},
	}
	return []*cobra.Command{save, load, back, text}
}

func runBackup(cmd *cobra.Command, _ []string) error {
	var in backupInput
	path, err := cmd.Flags().GetString("output")
	if err != nil {
		return err
	}
	if in.WithoutSessions, err = cmd.Flags().GetBool("without-sessions"); err != nil {
		return err
	}
	if path == "" {
		return errors.New("say -o <file>, or -o - for standard output")
	}
	ask, err := cmd.Flags().GetBool("passphrase")
	if err != nil {
		return err
	}
	passphrase, err := passphraseOf(cmd, ask)
	if err != nil {
		return err
	}
	in.Passphrase = string(passphrase)
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	if path == "-" {
		out := cmd.OutOrStdout()
		if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
			return errors.New("a backup is no text for a terminal: say -o <file>")
		}
		err = fetch(cmd, "backup", body, out)
	} else {
		err = backup.WriteFile(path, func(w io.Writer) error { return fetch(cmd, "backup", body, w) })
	}
	if err == nil {
		fmt.Fprintln(cmd.ErrOrStderr(), "Uploaded pictures are not in it: copy their directory, or the bucket, beside it.")
	}
	if err == nil && passphrase == "" {
		fmt.Fprintf(cmd.ErrOrStderr(), "The backup is sealed with the master secret and cannot be read without it: keep a copy of `secret`, or of the file %q in the data directory, in another place.\n", secretFile)
	}
	return err
}

// passphraseOf reads the passphrase of --passphrase-file, or asks for one.
func passphraseOf(cmd *cobra.Command, ask bool) (core.Secret, error) {
	path, err := cmd.Flags().GetString("passphrase-file")
	if err != nil {
		return "", err
	}
	if path != "" {
		f, err := os.Open(path) //nolint:gosec // the operator names it
		if err != nil {
			return "", fmt.Errorf("read the passphrase: %w", err)
		}
		defer f.Close()
		line, err := readLine(io.LimitReader(f, login.MaxPassword+2))
		if err == nil && len(line) < backup.MinPassphrase {
			err = fmt.Errorf("%s holds %d bytes on its first line, and a passphrase needs at least %d", path, len(line), backup.MinPassphrase)
		}
		return core.Secret(line), err
	}
	if !ask {
		return "", nil
	}
	line, err := readPassword(cmd, "passphrase", false, "or say --passphrase-file <file>")
	return core.Secret(line), err
}

// fetch writes what the server, or the database itself, answers.
func fetch(cmd *cobra.Command, name string, body []byte, w io.Writer) error {
	ctx, loaded, address, err := commandConfig(cmd)
	if err != nil {
		return err
	}
	config, err := cmd.Flags().GetString("config")
	if err != nil {
		return err
	}
	address, nobody, err := loaded.server(ctx, address, config)
	if err != nil {
		return err
	}
	if nobody == nil {
		return fetchFromServer(address, name, body, w)
	}
	s, err := loaded.Apps.Postern.resolve(os.LookupEnv)
	if err != nil {
		return err
	}
	return heldBy(writeOffline(ctx, s, name, body, w), nobody)
}

func fetchFromServer(address, name string, body []byte, w io.Writer) error {
	res, err := adminRequest(address, http.MethodPost, "/postern/"+name, bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer res.Body.Close()
	n, err := io.Copy(w, res.Body)
	if err == nil && n != res.ContentLength {
		err = fmt.Errorf("%d bytes came of %d", n, res.ContentLength)
	}
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	return nil
}

// commandConfig reads the flags that every command has.
func commandConfig(cmd *cobra.Command) (ctx context.Context, loaded *loadedConfig, address string, err error) {
	if ctx = cmd.Context(); ctx == nil {
		ctx = context.Background()
	}
	var flag [3]string
	for i, f := range []string{"address", "config", "adapter"} {
		if flag[i], err = cmd.Flags().GetString(f); err != nil {
			return nil, nil, "", err
		}
	}
	loaded, err = loadConfig(flag[1], flag[2])
	return ctx, loaded, flag[0], err
}

// offlineSettings are those of a command that no server can do.
func offlineSettings(cmd *cobra.Command) (context.Context, settings, error) {
	config, err := cmd.Flags().GetString("config")
	if err != nil {
		return nil, settings{}, err
	}
	if config == "" {
		return nil, settings{}, errors.New("say --config <Caddyfile>: it says where the data is, or is to be")
	}
	ctx, loaded, _, err := commandConfig(cmd)
	if err != nil {
		return nil, settings{}, err
	}
	s, err := loaded.Apps.Postern.resolve(os.LookupEnv)
	return ctx, s, err
}

func runRestore(cmd *cobra.Command, args []string) error {
	ctx, s, err := offlineSettings(cmd)
	if err != nil {
		return err
	}
	in := restoreInput{passphrase: func() (core.Secret, error) { return passphraseOf(cmd, true) }}
	if in.Replace, err = cmd.Flags().GetBool("replace"); err != nil {
		return err
	}
	if in.WithoutSessions, err = cmd.Flags().GetBool("without-sessions"); err != nil {
		return err
	}
	path, err := cmd.Flags().GetString("secret-file")
	if err != nil {
		return err
	}
	if path != "" {
		secret, err := readSecret(path)
		if err != nil {
			return err
		}
		in.secret = core.Secret(secret)
	}
	return restoreFrom(ctx, cmd, s, args[0], in)
}

func runRollback(cmd *cobra.Command, _ []string) error {
	ctx, s, err := offlineSettings(cmd)
	if err != nil {
		return err
	}
	path, err := sqldb.LastSnapshot(s.data)
	if err != nil {
		return err
	}
	in := restoreInput{RestoreOptions: sqldb.RestoreOptions{Replace: true, AsItWas: true}}
	return restoreFrom(ctx, cmd, s, path, in)
}

func restoreFrom(ctx context.Context, cmd *cobra.Command, s settings, path string, in restoreInput) (err error) {
	f, err := os.Open(path) //nolint:gosec // the operator names it
	if err != nil {
		return fmt.Errorf("open the backup: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	replaced, err := restoreFile(ctx, s, f, in)
	if errors.Is(err, sqldb.ErrLocked) {
		err = fmt.Errorf("%w: stop every server of this data first", err)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "Restored %s.\n", path)
	if replaced != "" {
		fmt.Fprintf(cmd.OutOrStdout(), "What was there before is in %s.\n", replaced)
	}
	where := s.media.dir
	if s.media.s3.Bucket != "" {
		where = "the bucket " + s.media.s3.Bucket
	}
	fmt.Fprintf(cmd.OutOrStdout(), "Uploaded pictures are not part of a backup, and are in %s as they were: copy there what is missing.\n", where)
	return nil
}
