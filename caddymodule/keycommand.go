package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/spf13/cobra"
)

// keyCommands are `caddy postern key …`.
func keyCommands() []*cobra.Command {
	list := &cobra.Command{
		Use: "list", Short: "Lists key pairs: what signs, what will, what is still published, when certificates expire", Args: cobra.NoArgs, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error { return runKey(cmd, "keys/list", keyInput{}) },
	}
	rotate := &cobra.Command{
		Use: "rotate <name>", Short: "Replaces a signing key: the next one is published now and signs later, so nobody notices",
		Args: cobra.ExactArgs(1), SilenceUsage: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			in, err := readKeyInput(cmd, args[0])
			if err != nil {
				return err
			}
			text, err := cmd.Flags().GetString("lead")
			if err != nil {
				return err
			}
			if text != "" {
				lead, err := caddy.ParseDuration(text)
				if err != nil || lead < time.Second {
					return fmt.Errorf("--lead %q is not a duration: write for example 1h or 2d", text)
				}
				in.LeadSeconds = int64(lead / time.Second)
			}
			return runKey(cmd, "keys/rotate", in)
		},
	}
	rotate.Flags().String("lead", "", "How long the next key is published before it signs (default: `key_lead` of the configuration, 1h)")
	revoke := &cobra.Command{
		Use: "revoke <name>", Short: "Replaces a key that has become known, at once: what it signed and what was granted beside it ends",
		Args: cobra.ExactArgs(1), SilenceUsage: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			in, err := readKeyInput(cmd, args[0])
			if err != nil {
				return err
			}
			if in.EndSessions, err = cmd.Flags().GetBool("end-sessions"); err != nil {
				return err
			}
			return runKey(cmd, "keys/revoke", in)
		},
	}
	revoke.Flags().Bool("end-sessions", false, "End every login, too")
	for _, cmd := range []*cobra.Command{rotate, revoke} {
		cmd.Flags().String("alg", "", "Kind of the new key: rsa, ecdsa or ed25519 (default: that of the old one)")
		cmd.Flags().String("certificate", "", "File with the new certificate, in PEM; where it is not given, key and certificate are made here")
		cmd.Flags().String("private-key", "", "File with the new private key, in PEM")
	}
	for _, cmd := range []*cobra.Command{list, rotate, revoke} {
		cmd.Flags().Bool("json", false, "Print JSON")
	}
	rewrap := &cobra.Command{
		Use: "rewrap", Short: "Changes the master secret: seals everything anew. The server must be stopped",
		Long: `
Changes the master secret, which encrypts private keys, client secrets and tokens,
while the server is stopped.

Where the configuration has no secret, a new random one takes the place of the file
in the data directory. Where it has one, set it to the new secret first, and give the
one before in the file --old-secret-file or in the variable POSTERN_OLD_SECRET.

Whatever interrupts it, running it again goes on where it stopped.`,
		Args: cobra.NoArgs, SilenceUsage: true, RunE: runRewrap,
	}
	rewrap.Flags().String("old-secret-file", "", "File that holds the secret which the data was written with")
	return []*cobra.Command{list, rotate, revoke, rewrap}
}

// readKeyInput reads the flags that rotate and revoke share.
func readKeyInput(cmd *cobra.Command, name string) (in keyInput, err error) {
	in.Name = name
	if in.Alg, err = cmd.Flags().GetString("alg"); err != nil {
		return in, err
	}
	for flag, into := range map[string]*string{"certificate": &in.Certificate, "private-key": (*string)(&in.PrivateKey)} {
		path, err := cmd.Flags().GetString(flag)
		if err != nil {
			return in, err
		}
		if path == "" {
			continue
		}
		b, err := os.ReadFile(path) //nolint:gosec // the operator names the file
		if err != nil {
			return in, fmt.Errorf("--%s: %w", flag, err)
		}
		if *into = string(b); strings.TrimSpace(*into) == "" {
			return in, fmt.Errorf("--%s: %s is empty", flag, path)
		}
	}
	if (in.Certificate == "") != (in.PrivateKey == "") {
		return in, errors.New("say both --certificate and --private-key, or neither: then a key is made here")
	}
	if in.Certificate != "" && in.Alg != "" {
		return in, errors.New("--alg is for a key that is made here: leave it out, or --certificate and --private-key")
	}
	return in, nil
}

func runKey(cmd *cobra.Command, name string, in keyInput) error {
	asJSON, err := cmd.Flags().GetBool("json")
	if err != nil {
		return err
	}
	text, err := request(cmd, name, in)
	if err != nil {
		return err
	}
	if asJSON {
		_, err := fmt.Fprintln(cmd.OutOrStdout(), strings.TrimSpace(string(text)))
		return err
	}
	return showKeys(cmd.OutOrStdout(), name, text)
}

// showKeys prints a line for each key.
func showKeys(out io.Writer, name string, text []byte) error {
	if name != "keys/list" { // one, not all
		text = append(append([]byte("["), text...), ']')
	}
	var all []keyPair
	if err := json.Unmarshal(text, &all); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	tw := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "NAME\tKID\tALGORITHM\tSTATE\tCERTIFICATE EXPIRES\tUSED BY")
	for _, p := range all {
		for i, k := range p.Keys {
			label, users := "", ""
			if i == 0 {
				label, users = p.Name, usedBy(p)
			}
			fmt.Fprintf(tw, "%s\t%.12s\t%s\t%s\t%s\t%s\n", label, k.KID, k.Algorithm, k.state(), k.expiry(p.Renews && i == 0), users)
		}
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	for _, p := range all {
		if p.Revoked == nil {
			continue
		}
		fmt.Fprintf(out, "The key is revoked. %d grants and %d sessions ended.\n", p.Revoked.Grants, p.Revoked.Sessions)
		if len(p.Encrypting) > 0 {
			fmt.Fprintf(out, "Tokens for %s are encrypted to the new key: give their clients its private key.\n", strings.Join(p.Encrypting, ", "))
		}
	}
	return nil
}

const minutes = "2006-01-02 15:04"

func (k *signedKey) state() string {
	switch {
	case k.From != nil:
		return "next: signs from " + k.From.Local().Format(minutes)
	case k.Until != nil:
		return "retired: published until " + k.Until.Local().Format(minutes)
	}
	return k.State
}

func (k *signedKey) expiry(renews bool) string {
	if k.Expires == nil {
		return "no certificate"
	}
	at := k.Expires.Local().Format("2006-01-02")
	switch {
	case renews:
		return at + " (renewed before)"
	case k.Expired && k.Until == nil:
		return at + " (EXPIRED)"
	case k.Soon && k.Until == nil:
		return at + " (SOON)"
	}
	return at
}

func usedBy(p keyPair) string {
	var parts []string
	for _, one := range []struct {
		names []string
		how   string
	}{{p.Signing, ""}, {p.Encrypting, " (encrypts)"}, {p.Other, " (other)"}} {
		for _, name := range one.names {
			parts = append(parts, name+one.how)
		}
	}
	return strings.Join(parts, ", ")
}
