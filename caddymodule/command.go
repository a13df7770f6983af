package caddymodule

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/login"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "postern",
		Usage: "user <list|create|set-password|…>",
		Short: "Manages the identity provider",
		Long: `
Manages users of the identity provider.

A running server is asked through Caddy's admin address (--address, or the one
of --config). Where none answers and --config names a configuration, its
database is opened directly, under its lock.

Passwords are read from the terminal or from standard input, never from the
command line, where other users of the machine could see them.`,
		CobraFunc: func(cmd *cobra.Command) {
			user := &cobra.Command{Use: "user", Short: "Lists, creates and changes users"}
			flags := user.PersistentFlags()
			flags.String("address", "", "Address of the running server's admin API")
			flags.StringP("config", "c", "", "Configuration file: says where the admin API is, and where the data is when no server runs")
			flags.StringP("adapter", "a", "", "Name of the config adapter to apply")
			user.AddCommand(userCommands()...)
			cmd.AddCommand(user)
		},
	})
}

// userCommand is one action of people on the command line.
func userCommand(use, short string, args cobra.PositionalArgs, fill func(*cobra.Command, []string, *personInput) error) *cobra.Command {
	name, _, _ := strings.Cut(use, " ")
	return &cobra.Command{
		Use: use, Short: short, Args: args, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			in := personInput{}
			if len(args) > 0 {
				in.UserName = args[0]
			}
			if fill != nil {
				if err := fill(cmd, args, &in); err != nil {
					return err
				}
			}
			return runUser(cmd, name, in)
		},
	}
}

func userCommands() []*cobra.Command {
	withGroups := func(_ *cobra.Command, args []string, in *personInput) error {
		in.Groups = args[1:]
		return nil
	}
	create := userCommand("create <username>", "Creates a user; the password comes from standard input, and may be empty", cobra.ExactArgs(1),
		func(cmd *cobra.Command, _ []string, in *personInput) (err error) {
			f := cmd.Flags()
			for flag, into := range map[string]*string{"name": &in.Name, "email": &in.Email} {
				if *into, err = f.GetString(flag); err != nil {
					return err
				}
			}
			if in.Groups, err = f.GetStringArray("group"); err != nil {
				return err
			}
			in.Password, err = readPassword(cmd, true)
			return err
		})
	create.Flags().String("name", "", "Full name")
	create.Flags().String("email", "", "E-mail address")
	create.Flags().StringArray("group", nil, "Name of a group; may be repeated")
	recovery := userCommand("recovery-link <username>", "Prints a link that logs a user in once, to set a password", cobra.ExactArgs(1),
		func(cmd *cobra.Command, _ []string, in *personInput) (err error) {
			in.Hours, err = cmd.Flags().GetInt("hours")
			return err
		})
	recovery.Flags().Int("hours", 1, "How long the link is valid")
	return []*cobra.Command{
		userCommand("list", "Lists all users", cobra.NoArgs, nil),
		create,
		userCommand("set-password <username>", "Sets a password, read from standard input, and ends the user's sessions", cobra.ExactArgs(1),
			func(cmd *cobra.Command, _ []string, in *personInput) (err error) {
				in.Password, err = readPassword(cmd, false)
				return err
			}),
		userCommand("add-to-group <username> <group>…", "Adds a user to groups", cobra.MinimumNArgs(2), withGroups),
		userCommand("remove-from-group <username> <group>…", "Removes a user from groups", cobra.MinimumNArgs(2), withGroups),
		userCommand("activate <username>", "Lets a user log in again", cobra.ExactArgs(1), nil),
		userCommand("deactivate <username>", "Ends a user's sessions and lets nobody log in as them", cobra.ExactArgs(1), nil),
		recovery,
	}
}

// runUser asks the running server, or opens the database.
func runUser(cmd *cobra.Command, name string, in personInput) error {
	var flag [3]string
	for i, f := range []string{"address", "config", "adapter"} {
		var err error
		if flag[i], err = cmd.Flags().GetString(f); err != nil {
			return err
		}
	}
	address, err := caddycmd.DetermineAdminAPIAddress(flag[0], nil, flag[1], flag[2])
	if err != nil {
		return err
	}
	out, err := askServer(address, name, in)
	var down *net.OpError
	if errors.As(err, &down) && down.Op == "dial" {
		if flag[1] == "" {
			return fmt.Errorf("no server answers at %s (%w): start it, say --address, or say --config to open the database itself", address, err)
		}
		out, err = askDatabase(cmd.Context(), flag[1], flag[2], name, in)
	}
	if err != nil {
		return err
	}
	return show(cmd.OutOrStdout(), name, out)
}

func askServer(address, name string, in personInput) ([]person, error) {
	method, uri := http.MethodPost, "/postern/users/"+name
	var body io.Reader
	if name == "list" {
		method, uri = http.MethodGet, "/postern/users"
	} else {
		text, err := json.Marshal(in) //nolint:gosec // the password goes to our own admin address, which is why it is here
		if err != nil {
			return nil, fmt.Errorf("write the request: %w", err)
		}
		body = bytes.NewReader(text)
	}
	res, err := caddycmd.AdminAPIRequest(address, method, uri, nil, body)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if name == "list" {
		var all []person
		err = json.NewDecoder(res.Body).Decode(&all)
		return all, err
	}
	var one person
	if err := json.NewDecoder(res.Body).Decode(&one); err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	return []person{one}, nil
}

// askDatabase does the same without a server. The lock of the data directory
// keeps the two apart.
func askDatabase(ctx context.Context, config, adapter, name string, in personInput) ([]person, error) {
	if ctx == nil {
		ctx = context.Background()
	}
	text, _, _, err := caddycmd.LoadConfig(config, adapter)
	if err != nil {
		return nil, err
	}
	var loaded struct {
		Apps struct {
			Postern App `json:"postern"`
		} `json:"apps"`
	}
	if err := json.Unmarshal(text, &loaded); err != nil {
		return nil, fmt.Errorf("read %s: %w", config, err)
	}
	s, err := loaded.Apps.Postern.resolve(os.LookupEnv)
	if err != nil {
		return nil, err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	sh, err := openShared(ctx, s, log)
	if err != nil {
		return nil, err
	}
	out, err := actOffline(ctx, sh, s, log, name, in)
	return out, errors.Join(err, sh.Destruct())
}

func actOffline(ctx context.Context, sh *shared, s settings, log *slog.Logger, name string, in personInput) ([]person, error) {
	tenant, err := sh.db.Tenant(ctx, core.DefaultTenant)
	if err != nil {
		return nil, err
	}
	tenant.Origin = s.origin
	p := &people{store: sh.db, tenant: tenant, pages: &login.Handler{
		Store: sh.db, Users: sh.db, Applications: sh.db, Sessions: sh.sessions, Master: sh.master, Events: sh.db,
		Passwords: sh.passwords, Now: time.Now, Log: log,
	}}
	if name == "list" {
		return p.list(ctx)
	}
	one, err := p.actions()[name](ctx, in)
	if err != nil {
		return nil, err
	}
	return []person{*one}, nil
}

func show(out io.Writer, name string, all []person) error {
	if name == "recovery-link" {
		_, err := fmt.Fprintln(out, all[0].Link)
		return err
	}
	tw := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "USERNAME\tNAME\tEMAIL\tACTIVE\tGROUPS\tLAST LOGIN")
	for _, p := range all {
		last := "never"
		if p.LastLogin != nil {
			last = p.LastLogin.Local().Format("2006-01-02 15:04")
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%t\t%s\t%s\n", p.UserName, p.Name, p.Email, p.Active, strings.Join(p.Groups, ", "), last)
	}
	return tw.Flush()
}

// readPassword reads a password without showing it, twice, from a terminal, or one
// line of standard input.
func readPassword(cmd *cobra.Command, empty bool) (string, error) {
	in := cmd.InOrStdin()
	f, ok := in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		line, err := bufio.NewReader(io.LimitReader(in, login.MaxPassword+2)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("read the password: %w", err)
		}
		line = strings.TrimRight(line, "\r\n")
		if line == "" && !empty {
			return "", errors.New("standard input holds no password: write it there on one line, as in `caddy postern user set-password alice < file`")
		}
		return line, nil
	}
	ask := func(prompt string) (string, error) {
		fmt.Fprint(cmd.ErrOrStderr(), prompt)
		b, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(cmd.ErrOrStderr())
		return string(b), err
	}
	first, err := ask("Password: ")
	if err != nil || first == "" && empty {
		return "", err
	}
	again, err := ask("Again: ")
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	if first != again {
		return "", errors.New("the two are not the same")
	}
	return first, nil
}
