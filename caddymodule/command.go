package caddymodule

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/login"
	"github.com/postern-sso/postern/storage/sqldb"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "postern",
		Usage: "user <list|create|set-password|…>, group <list|create>, key <list|rotate|revoke|rewrap>, tenant <list|create|delete|domain|recovery-key>, media <setup|migrate>, explain <decision>, backup, restore, rollback, dump",
		Short: "Manages the identity provider",
		Long: `
Manages users, groups, signing keys and tenants of the identity provider, explains its
refusals, and keeps its backups.

A running server is asked through Caddy's admin address (--address, or the one
of --config). Where none answers and --config names a configuration, its
database is opened directly, under its lock.

Passwords are read from the terminal or from standard input, never from the
command line, where other users of the machine could see them.`,
		CobraFunc: func(cmd *cobra.Command) {
			flags := cmd.PersistentFlags()
			flags.String("address", "", "Address of the running server's admin API")
			flags.StringP("config", "c", "", "Configuration file: says where the admin API is, and where the data is when no server runs")
			flags.StringP("adapter", "a", "", "Name of the config adapter to apply")
			user := &cobra.Command{Use: "user", Short: "Lists, creates and changes users"}
			user.AddCommand(userCommands()...)
			group := &cobra.Command{Use: "group", Short: "Lists and creates groups"}
			group.AddCommand(groupCommands()...)
			key := &cobra.Command{Use: "key", Short: "Lists and replaces signing keys, and changes the master secret"}
			key.AddCommand(keyCommands()...)
			tenant := &cobra.Command{Use: "tenant", Short: "Lists, makes and deletes tenants"}
			tenant.AddCommand(tenantCommands()...)
			files := &cobra.Command{Use: "media", Short: "Sets up a bucket for pictures, and moves them there and back"}
			files.AddCommand(mediaCommands()...)
			for _, c := range []*cobra.Command{cmd, user, group, key, tenant, files} {
				c.RunE, c.SilenceUsage = noCommand, true
			}
			explain := explainCommand()
			for _, c := range slices.Concat(user.Commands(), group.Commands(), key.Commands(), []*cobra.Command{explain}) {
				if c.Name() != "rewrap" { // of all tenants
					c.Flags().String("tenant", "", "Schema name of the tenant that is meant, such as t_acme (default: the default tenant)")
				}
			}
			cmd.AddCommand(user, group, key, tenant, files, explain)
			cmd.AddCommand(backupCommands()...)
		},
	})
}

// noCommand refuses a word that is no command: cobra shows the help and reports success, and a script
// that misspelled `deactivate` would go on.
func noCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	return fmt.Errorf("there is no command %q: %s --help lists those that there are", args[0], cmd.CommandPath())
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
			return run(cmd, "users/"+name, in)
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
			in.Password, err = readPassword(cmd, "password", true, "")
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
				in.Password, err = readPassword(cmd, "password", false, "as in `caddy postern user set-password alice < file`")
				return err
			}),
		userCommand("add-to-group <username> <group>…", "Adds a user to groups", cobra.MinimumNArgs(2), withGroups),
		userCommand("remove-from-group <username> <group>…", "Removes a user from groups", cobra.MinimumNArgs(2), withGroups),
		userCommand("activate <username>", "Lets a user log in again", cobra.ExactArgs(1), nil),
		userCommand("deactivate <username>", "Ends a user's sessions and lets nobody log in as them", cobra.ExactArgs(1), nil),
		recovery,
		userCommand("api-token <username>", "Prints a new token with which programs use the API as this user, until it is deleted", cobra.ExactArgs(1), nil),
	}
}

func groupCommands() []*cobra.Command {
	create := &cobra.Command{
		Use: "create <name>", Short: "Creates a group", Args: cobra.ExactArgs(1), SilenceUsage: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			superuser, err := cmd.Flags().GetBool("superuser")
			if err != nil {
				return err
			}
			return run(cmd, "groups/create", groupInput{Name: args[0], Superuser: superuser})
		},
	}
	create.Flags().Bool("superuser", false, "Its members administer everything")
	return []*cobra.Command{
		{
			Use: "list", Short: "Lists all groups", Args: cobra.NoArgs, SilenceUsage: true,
			RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd, "groups/list", nil) },
		},
		create,
	}
}

// run does an action of people, by the server or without one, and prints what it gives.
func run(cmd *cobra.Command, name string, in any) error {
	out, err := request(cmd, name, in)
	if err != nil {
		return err
	}
	return show(cmd.OutOrStdout(), name, out)
}

// request does an action, by the server or without one, and gives its answer.
func request(cmd *cobra.Command, name string, in any) ([]byte, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return nil, fmt.Errorf("write the request: %w", err)
	}
	var flag [3]string
	for i, f := range []string{"address", "config", "adapter"} {
		if flag[i], err = cmd.Flags().GetString(f); err != nil {
			return nil, err
		}
	}
	tenant := ""
	if f := cmd.Flags().Lookup("tenant"); f != nil {
		tenant = f.Value.String()
	}
	return ask(cmd.Context(), flag[0], flag[1], flag[2], tenant, name, body)
}

// ask asks the running server, or opens the database.
func ask(ctx context.Context, address, config, adapter, tenant, name string, body []byte) ([]byte, error) {
	if ctx == nil {
		ctx = context.Background()
	}
	loaded, err := loadConfig(config, adapter)
	if err != nil {
		return nil, err
	}
	address, nobody, err := loaded.server(ctx, address, config)
	if err != nil {
		return nil, err
	}
	if nobody == nil {
		return askServer(address, tenant, name, body)
	}
	out, err := askDatabase(ctx, &loaded.Apps.Postern, tenant, name, body)
	return out, heldBy(err, nobody)
}

// loadedConfig is what commands need of a configuration.
type loadedConfig struct {
	Admin caddy.AdminConfig `json:"admin"`
	Apps  struct {
		Postern App `json:"postern"`
	} `json:"apps"`
}

func loadConfig(config, adapter string) (*loadedConfig, error) {
	loaded := new(loadedConfig)
	if config == "" {
		return loaded, nil
	}
	text, _, _, err := caddycmd.LoadConfig(config, adapter)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, loaded); err != nil {
		return nil, fmt.Errorf("read %s: %w", config, err)
	}
	return loaded, nil
}

// server finds the admin address. Where nobody answers there, and config names the
// database to open instead, nobody says so.
func (l *loadedConfig) server(ctx context.Context, address, config string) (at string, nobody, err error) {
	if address == "" {
		address = l.Admin.Listen
	}
	switch {
	case address == "" && l.Admin.Disabled:
		nobody = fmt.Errorf("%s turns the admin address off", config)
	default:
		if address == "" {
			address = caddy.DefaultAdminListen
		}
		address = caddy.NewReplacer().ReplaceAll(address, "")
		if nobody, err = dial(ctx, address); err != nil {
			return "", nil, err
		}
	}
	if nobody != nil && config == "" {
		return "", nil, fmt.Errorf("%w: start the server, or say --address where its admin address was moved, or say --config <Caddyfile> to open the database itself", nobody)
	}
	return address, nobody, nil
}

// heldBy says what to do where another process has the database open.
func heldBy(err, nobody error) error {
	if errors.Is(err, sqldb.ErrLocked) {
		err = fmt.Errorf("%w, and %w: say --address, with the admin address of that process, or stop it first", err, nobody)
	}
	return err
}

// dial tells whether somebody listens at an admin address. Caddy's own request does not
// let its cause be told apart. What keeps us from a socket that is there does no harm:
// the lock of the data directory keeps a server and us apart.
func dial(ctx context.Context, address string) (nobody, err error) {
	at, err := caddy.ParseNetworkAddress(address)
	if err != nil || at.PortRangeSize() > 1 {
		return nil, fmt.Errorf("the admin address %q is not one: write for example localhost:2019 or unix//run/caddy.sock", address)
	}
	target := at.JoinHostPort(0)
	if at.IsUnixNetwork() {
		target, _, _ = strings.Cut(target, "|") // permissions may follow
	}
	conn, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, at.Network, target)
	if err != nil {
		return fmt.Errorf("no server answers at %s (%w)", address, err), nil
	}
	return nil, conn.Close()
}

func askServer(address, tenant, name string, in []byte) ([]byte, error) {
	method, uri := http.MethodPost, "/postern/"+name
	var body io.Reader
	if kind, ok := strings.CutSuffix(name, "/list"); ok {
		method, uri = http.MethodGet, "/postern/"+kind
	} else {
		body = bytes.NewReader(in)
	}
	if tenant != "" {
		uri += "?tenant=" + url.QueryEscape(tenant)
	}
	res, err := adminRequest(address, method, uri, body)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	out, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	return out, nil
}

// askDatabase does the same without a server. The lock of the data directory
// keeps the two apart.
func askDatabase(ctx context.Context, app *App, tenant, name string, in []byte) ([]byte, error) {
	s, err := app.resolve(os.LookupEnv)
	if err != nil {
		return nil, err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	sh, err := openShared(ctx, s, core.MachineTime(), log)
	if err != nil {
		return nil, err
	}
	out, err := actOffline(ctx, sh, s, log, tenant, name, in)
	return out, errors.Join(err, sh.Destruct())
}

func actOffline(ctx context.Context, sh *shared, s settings, log *slog.Logger, name, do string, in []byte) ([]byte, error) {
	all := &system{settings: s, shared: sh, sites: new(sites), lately: newLately(), pages: &login.Handler{
		Store: sh.db, Users: sh.db, Applications: sh.db, Sessions: sh.sessions, Master: sh.master, Events: sh.db,
		Passwords: sh.passwords, Now: sh.clock.Now, Log: log,
	}}
	if err := all.newMedia(log); err != nil {
		return nil, err
	}
	tenant, err := all.named(ctx, name)
	if err != nil {
		return nil, err
	}
	out, err := all.actions(tenant)[do](ctx, in)
	if err != nil {
		return nil, err
	}
	return json.Marshal(out)
}

// show prints what an action gave.
func show(out io.Writer, name string, text []byte) error {
	if !strings.HasSuffix(name, "/list") { // one, not all
		text = slices.Concat([]byte("["), text, []byte("]"))
	}
	if name == "decisions/explain" {
		return showDecision(out, text)
	}
	tw := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if strings.HasPrefix(name, "groups/") {
		var all []group
		if err := json.Unmarshal(text, &all); err != nil {
			return fmt.Errorf("read the answer: %w", err)
		}
		fmt.Fprintln(tw, "NAME\tSUPERUSER\tMEMBERS")
		for _, g := range all {
			fmt.Fprintf(tw, "%s\t%t\t%d\n", g.Name, g.Superuser, g.Members)
		}
		return tw.Flush()
	}
	var all []person
	if err := json.Unmarshal(text, &all); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if name == "users/recovery-link" || name == "users/api-token" {
		_, err := fmt.Fprintln(out, all[0].Link+all[0].Token)
		return err
	}
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

// readPassword reads a password, or what it is called, without showing it, twice, from a terminal, or one
// line of standard input. Where that is empty and may not be, it says what else to do.
func readPassword(cmd *cobra.Command, called string, empty bool, or string) (string, error) {
	in := cmd.InOrStdin()
	f, ok := in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		line, err := readLine(io.LimitReader(in, login.MaxPassword+2))
		if err != nil {
			return "", fmt.Errorf("read the %s: %w", called, err)
		}
		if line == "" && !empty {
			return "", fmt.Errorf("standard input holds no %s: write it there on one line, %s", called, or)
		}
		return line, nil
	}
	ask := func(prompt string) (string, error) {
		fmt.Fprint(cmd.ErrOrStderr(), prompt)
		b, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(cmd.ErrOrStderr())
		return string(b), err
	}
	first, err := ask(strings.ToUpper(called[:1]) + called[1:] + ": ")
	if err != nil || first == "" && empty {
		return "", err
	}
	again, err := ask("Again: ")
	if err != nil {
		return "", fmt.Errorf("read the %s: %w", called, err)
	}
	if first != again {
		return "", errors.New("the two are not the same")
	}
	return first, nil
}

// readLine takes one byte at a time: the next line may be for the next command of a script.
func readLine(in io.Reader) (string, error) {
	var line, b []byte = nil, make([]byte, 1)
	for {
		n, err := in.Read(b)
		if n > 0 && b[0] != '\n' {
			line = append(line, b[0])
		}
		if n > 0 && b[0] == '\n' || errors.Is(err, io.EOF) {
			return strings.TrimRight(string(line), "\r"), nil
		}
		if err != nil {
			return "", err
		}
	}
}
