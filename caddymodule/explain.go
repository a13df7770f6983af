package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/policy"
)

// explainInput names a decision.
type explainInput struct {
	ID string `json:"id"`
}

func explainCommand() *cobra.Command {
	return &cobra.Command{
		Use: "explain <decision>", Short: "Tells why somebody may not open an application, by the decision that the page shows",
		Args: cobra.ExactArgs(1), SilenceUsage: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			return run(cmd, "decisions/explain", explainInput{ID: args[0]})
		},
	}
}

// explain finds a refusal by its ID.
func (p *people) explain(ctx context.Context, in explainInput) (*policy.Record, error) {
	id := strings.TrimSpace(in.ID)
	r, err := p.policies.Explain(ctx, p.tenant.ID, id)
	if errors.Is(err, core.ErrNotFound) {
		return nil, core.Absent(fmt.Sprintf("there is no decision %.64q: it was mistyped, or is no longer in the audit log", id))
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

// showDecision prints a list of one refusal: what was asked, what was seen, and what each
// rule said.
func showDecision(out io.Writer, text []byte) error {
	var all []policy.Record
	if err := json.Unmarshal(text, &all); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	for i := range all {
		r := &all[i]
		tw := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		line := func(name, value string) { fmt.Fprintf(tw, "%s\t%s\n", name, printable(value)) }
		line("Decision", r.Decision)
		line("When", r.Time.UTC().Format(time.RFC3339))
		line("Who", r.User)
		line("Groups", orNone(strings.Join(r.Groups, ", ")))
		line("Application", fmt.Sprintf("%s (%s)", r.Application, r.Slug))
		line("Asked at", strings.TrimSpace(r.Where+" "+r.Path))
		line("From", orNone(r.ClientIP))
		line("Denied", r.Reason)
		for _, m := range r.Messages {
			line("Told", m)
		}
		if err := tw.Flush(); err != nil {
			return err
		}
		if len(r.Rules) > 0 {
			showRules(out, r.Rules)
		}
		if r.LeftOut > 0 {
			fmt.Fprintf(out, "\n%d more groups and rules did not fit into the record.\n", r.LeftOut)
		}
	}
	return nil
}

func showRules(out io.Writer, rules []policy.RecordRule) {
	fmt.Fprintln(out)
	tw := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "RULE\tORDER\tOUTCOME\tTIME\tDECIDES")
	for i := range rules {
		r := &rules[i]
		rule, outcome, took, decides := fmt.Sprintf("%s %s", r.Kind, r.Name), string(r.Result), "", ""
		if r.Negate {
			rule = "not " + rule
		}
		if r.Error != "" {
			outcome += ": " + r.Error
		}
		if r.Result == policy.Failed && r.Passed {
			outcome += "; counts as passed"
		}
		if len(r.Messages) > 0 {
			outcome += "; said: " + strings.Join(r.Messages, " ")
		}
		if r.Micros > 0 {
			took = (time.Duration(r.Micros) * time.Microsecond).String()
		}
		if r.Decides {
			decides = "this one"
		}
		fmt.Fprintf(tw, "%s\t%d\t%s\t%s\t%s\n", printable(rule), r.Order, printable(outcome), took, decides)
	}
	_ = tw.Flush() // out keeps its error for whoever writes next
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// printable keeps what people typed from steering the operator's terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' || r == '\n' {
			return ' '
		}
		if !unicode.IsPrint(r) {
			return '\uFFFD'
		}
		return r
	}, s)
}
