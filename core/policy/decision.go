package policy

import (
	"fmt"
	"strings"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/expression"
)

// Request is what is decided about. What the edge states of the HTTP request is taken
// from the context (core.WithRequest).
type Request struct {
	Application *core.Application
	User        *core.User   // nil: nobody, who is denied
	Groups      []core.Group // all that the user is in, direct and inherited
	// Context is what expressions find in "context", such as oauth_scopes.
	Context map[string]any
	// Logged keeps in each step what its expression writes to ak_logger.
	Logged bool
}

// Result is what came of one rule.
type Result string

// The results. A rule that failed counts as its FailureResult says, one whose object is
// gone as not passed.
const (
	Passed    Result = "passed"
	NotPassed Result = "did not pass"
	Failed    Result = "failed"
	Gone      Result = "gone"
	NotNeeded Result = "not needed" // it was settled without it
)

// Step is one rule in the order in which it was looked at.
type Step struct {
	Kind     string // "group", "user", "policy", or "allow_groups" of the Caddyfile
	Binding  BindingID
	Name     string
	Order    int64
	Negate   bool
	Result   Result
	Pass     bool   // how it counted
	Decides  bool   // it settled the decision
	Error    string // why it failed; for administrators
	Messages []string
	Duration time.Duration // of an expression
	Log      []expression.LogLine
}

// String is a line for administrators.
func (s *Step) String() string {
	var b strings.Builder
	not := ""
	if s.Negate {
		not = "not "
	}
	fmt.Fprintf(&b, "%s%s %q", not, s.Kind, s.Name)
	if s.Binding != "" {
		fmt.Fprintf(&b, " (order %d)", s.Order)
	}
	fmt.Fprintf(&b, ": %s", s.Result)
	if s.Error != "" {
		fmt.Fprintf(&b, ": %s", s.Error)
	}
	if s.Result == Failed && s.Pass {
		b.WriteString("; counts as passed")
	}
	return b.String()
}

// Decision is a yes or no that always carries its reason.
type Decision struct {
	Allowed bool
	// ID names a denial on the page, in the log and for explain. Engine.Refuse sets it.
	ID string
	// Reason is one line for administrators.
	Reason string
	Mode   string // "any" or "all"
	Steps  []Step
	// Messages are what expressions had to say to the person.
	Messages []string
	// Fixed: no expression took part, so the decision holds until the directory changes.
	Fixed bool
	// Doubtful: it was denied because an expression failed, and might be allowed once that is
	// repaired. Nothing should be taken from the user for good.
	Doubtful bool
	Request  Request
}

// Trace is the decision for administrators, a line for each rule and the reason last.
func (d *Decision) Trace() []string {
	out := make([]string, 0, len(d.Steps)+1)
	for i := range d.Steps {
		out = append(out, d.Steps[i].String())
	}
	return append(out, d.Reason)
}

// Notice is what the person is told beside the fact: the messages of expressions, each a
// sentence or so, bounded.
func (d *Decision) Notice() []string {
	const most, long = 5, 300
	var out []string
	for _, m := range d.Messages {
		m = strings.Join(strings.Fields(m), " ")
		if m == "" {
			continue
		}
		if len(out) == most {
			break
		}
		out = append(out, shorten(m, long))
	}
	return out
}

// shorten cuts a text at most limit bytes in, between characters.
func shorten(s string, limit int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "…"
}
