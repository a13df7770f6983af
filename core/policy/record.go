package policy

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"time"

	"github.com/postern-sso/postern/core"
)

// maxRecord bounds what the event of one refusal holds, in bytes of JSON.
const maxRecord = 14 << 10

// Record is a refusal as the audit log keeps it: what was asked, what was seen, and what
// each rule said to it.
type Record struct {
	Decision    string       `json:"decision"`
	Time        time.Time    `json:"time,omitzero"` // of the event, whose context does not say it again
	Where       string       `json:"where"`         // "authorize", "token", "guard" or "launch"
	User        string       `json:"user"`
	Application string       `json:"application"`
	Slug        string       `json:"slug"`
	Groups      []string     `json:"groups"` // of the user, direct and inherited
	ClientIP    string       `json:"client_ip,omitempty"`
	Path        string       `json:"path,omitempty"` // without its query, which may hold secrets
	Mode        string       `json:"mode"`
	Reason      string       `json:"reason"`
	Messages    []string     `json:"messages,omitempty"` // as the person saw them
	Rules       []RecordRule `json:"rules"`
	LeftOut     int          `json:"left_out,omitempty"` // how many rules and groups did not fit
}

// RecordRule is what one rule said.
type RecordRule struct {
	Kind     string   `json:"kind"`
	Binding  string   `json:"binding,omitempty"`
	Name     string   `json:"name"`
	Order    int64    `json:"order"`
	Negate   bool     `json:"negate,omitempty"`
	Result   Result   `json:"result"`
	Passed   bool     `json:"passed"`
	Decides  bool     `json:"decides,omitempty"`
	Error    string   `json:"error,omitempty"`
	Messages []string `json:"messages,omitempty"`
	Micros   int64    `json:"microseconds,omitempty"`
}

// newRecord writes down a decision, cut to what one event may hold.
func newRecord(ctx context.Context, d *Decision, where, reason string) *Record {
	app := d.Request.Application
	r := &Record{
		Where: where, Application: shorten(app.Name, 200), Slug: app.Slug, Mode: d.Mode,
		Reason: shorten(reason, 500), Messages: d.Notice(),
	}
	if u := d.Request.User; u != nil {
		r.User = shorten(u.UserName, 200)
	}
	if info := core.Request(ctx); info != nil {
		if info.ClientIP.IsValid() {
			r.ClientIP = info.ClientIP.String()
		}
		if u, err := url.ParseRequestURI(info.URI); err == nil {
			r.Path = shorten(u.Path, 300)
		}
	}
	for most := 64; ; most /= 2 {
		r.fill(d, most)
		if text, err := json.Marshal(r); most == 0 || err == nil && len(text) <= maxRecord {
			return r
		}
	}
}

// fill takes at most so many groups and rules, and the rule that decides in any case.
func (r *Record) fill(d *Decision, most int) {
	r.Groups, r.Rules, r.LeftOut = []string{}, []RecordRule{}, 0
	for i := range d.Request.Groups {
		if len(r.Groups) >= most {
			r.LeftOut++
			continue
		}
		r.Groups = append(r.Groups, shorten(d.Request.Groups[i].Name, 100))
	}
	for i := range d.Steps {
		s := &d.Steps[i]
		if len(r.Rules) >= most && !s.Decides {
			r.LeftOut++
			continue
		}
		r.Rules = append(r.Rules, RecordRule{
			Kind: s.Kind, Binding: string(s.Binding), Name: shorten(s.Name, 200), Order: s.Order, Negate: s.Negate,
			Result: s.Result, Passed: s.Pass, Decides: s.Decides, Error: shorten(s.Error, 500),
			Messages: cutAll(s.Messages, 5, 200), Micros: s.Duration.Microseconds(),
		})
	}
}

func cutAll(texts []string, most, long int) []string {
	var out []string
	for _, s := range texts {
		if len(out) == most {
			break
		}
		out = append(out, shorten(s, long))
	}
	return out
}

// context is the record as the context of an event.
func (r *Record) context() map[string]any {
	out := map[string]any{}
	text, err := json.Marshal(r)
	if err == nil {
		err = json.Unmarshal(text, &out)
	}
	if err != nil { // text, numbers and a time
		panic(err)
	}
	return out
}

// ReadRecord reads the event of a refusal.
func ReadRecord(e *core.Event) (*Record, error) {
	text, err := json.Marshal(e.Context)
	if err != nil {
		return nil, fmt.Errorf("read decision %s: %w", e.Message, err)
	}
	var r Record
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("read decision %s: %w", e.Message, err)
	}
	r.Decision, r.Time = e.Message, e.Time
	if r.User == "" {
		r.User = e.UserName
	}
	return &r, nil
}
