package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// tenantCommands are `caddy postern tenant …`.
func tenantCommands() []*cobra.Command {
	create := &cobra.Command{
		Use: "create <schema_name>", Short: "Makes a tenant: a directory of its own, with users, keys and an issuer of its own", Args: cobra.ExactArgs(1), SilenceUsage: true,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			in := tenantInput{SchemaName: args[0]}
			if in.Name, err = cmd.Flags().GetString("name"); err != nil {
				return err
			}
			if in.Domains, err = cmd.Flags().GetStringArray("domain"); err != nil {
				return err
			}
			return runTenant(cmd, "tenants/create", in)
		},
	}
	create.Flags().String("name", "", "Name for people (default: the schema name)")
	create.Flags().StringArray("domain", nil, "Host at which it is found; may be repeated, and links lead to the first")
	remove := &cobra.Command{
		Use: "delete <schema_name>", Short: "Deletes a tenant with everything in it, after a question", Args: cobra.ExactArgs(1), SilenceUsage: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := confirmDelete(cmd, args[0]); err != nil {
				return err
			}
			return runTenant(cmd, "tenants/delete", tenantInput{SchemaName: args[0]})
		},
	}
	remove.Flags().Bool("yes", false, "Do not ask")
	recovery := &cobra.Command{
		Use: "recovery-key <schema_name> [<username>]", Short: "Prints a link that logs a user of a tenant in once: akadmin, unless another is named", Args: cobra.RangeArgs(1, 2), SilenceUsage: true,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			in := tenantInput{SchemaName: args[0]}
			if len(args) > 1 {
				in.UserName = args[1]
			}
			if in.Days, err = cmd.Flags().GetInt("days"); err != nil {
				return err
			}
			return runTenant(cmd, "tenants/recovery-key", in)
		},
	}
	recovery.Flags().Int("days", 1, "How long the link is valid")
	domain := &cobra.Command{Use: "domain", Short: "Gives hosts to tenants and takes them back", SilenceUsage: true, RunE: noCommand}
	add := &cobra.Command{
		Use: "add <schema_name> <domain>…", Short: "Gives hosts to a tenant", Args: cobra.MinimumNArgs(2), SilenceUsage: true,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			in := tenantInput{SchemaName: args[0], Domains: args[1:]}
			if in.Primary, err = cmd.Flags().GetBool("primary"); err != nil {
				return err
			}
			return runTenant(cmd, "tenants/add-domain", in)
		},
	}
	add.Flags().Bool("primary", false, "Links lead to the first of them from now on")
	domain.AddCommand(add, &cobra.Command{
		Use: "remove <schema_name> <domain>…", Short: "Takes hosts from a tenant: they are the default tenant's", Args: cobra.MinimumNArgs(2), SilenceUsage: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runTenant(cmd, "tenants/remove-domain", tenantInput{SchemaName: args[0], Domains: args[1:]})
		},
	})
	return []*cobra.Command{
		{
			Use: "list", Short: "Lists all tenants", Args: cobra.NoArgs, SilenceUsage: true,
			RunE: func(cmd *cobra.Command, _ []string) error { return runTenant(cmd, "tenants/list", nil) },
		},
		create, remove, domain, recovery,
	}
}

// confirmDelete asks for the tenant's name once more.
func confirmDelete(cmd *cobra.Command, schema string) error {
	yes, err := cmd.Flags().GetBool("yes")
	if err != nil || yes {
		return err
	}
	in := cmd.InOrStdin()
	f, ok := in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return fmt.Errorf("nothing is deleted: this would delete %s with everything in it for good; say --yes to do so", schema)
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "This deletes %s with all its users, applications and keys, for good. Type %[1]s to go on: ", schema)
	line, err := readLine(io.LimitReader(in, 200))
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if strings.TrimSpace(line) != schema {
		return errors.New("nothing is deleted")
	}
	return nil
}

func runTenant(cmd *cobra.Command, name string, in any) error {
	text, err := request(cmd, name, in)
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	if name != "tenants/list" {
		text = append(append([]byte("["), text...), ']')
	}
	var all []tenantInfo
	if err := json.Unmarshal(text, &all); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	switch name {
	case "tenants/recovery-key":
		_, err := fmt.Fprintln(out, all[0].Link)
		return err
	case "tenants/delete":
		_, err := fmt.Fprintf(out, "%s is deleted.\n", all[0].SchemaName)
		return err
	}
	tw := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "SCHEMA NAME\tNAME\tDOMAINS\tREADY")
	for _, t := range all {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%t\n", t.SchemaName, printable(t.Name), orNone(strings.Join(t.Domains, ", ")), t.Ready)
	}
	return tw.Flush()
}
