package caddymodule

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/postern-sso/postern/core"
)

// labels are the values of every label of every figure, by figure and label.
func labels(t *testing.T, reg *prometheus.Registry) map[string][]string {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]string{}
	for _, f := range families {
		out[f.GetName()] = nil
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				name := f.GetName() + " " + l.GetName()
				out[name] = append(out[name], l.GetValue())
				slices.Sort(out[name])
				out[name] = slices.Compact(out[name])
			}
		}
	}
	return out
}

// whatever requests bring along, hosts, paths, methods, names, tokens, and however many tenants there are, no
// figure of ours has a label with a value from there: its values are those that the code has. The control is a figure
// that has the host.
func TestLabelsCannotExplode(t *testing.T) {
	allowed := map[string][]string{"postern_guard_decisions_total outcome": {"allow", "anonymous", "error", "login", "refuse"}}
	wrong := func(got map[string][]string) (told []string) {
		for name, values := range got {
			for _, v := range values {
				if !slices.Contains(allowed[name], v) {
					told = append(told, name+"="+v)
				}
			}
		}
		return told
	}
	reg := prometheus.NewRegistry()
	w := newTwo(t, nil)
	if err := w.app.counters.register(reg); err != nil { // anew, where this test can read it
		t.Fatal(err)
	}
	for i := range 40 {
		word := "outside" + strings.ToLower(core.RandomAlphanumeric(10))
		for _, host := range []string{"app.a.test", "app.b.test", "app.auth.test", "a.test", word + ".a.test", word} {
			r, err := http.NewRequest([]string{"GET", "POST", strings.ToUpper(word)}[i%3], "http://"+host+"/"+word+"?"+word, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, h := range []string{"User-Agent", "Authorization", "X-Forwarded-Host", "X-Forwarded-Method", "Cookie", "Accept", "Origin"} {
				r.Header.Set(h, word)
			}
			w.do(&http.Client{Transport: w, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, r)
		}
	}
	browser := w.browser()
	w.a.login(browser, "http://app.a.test/")
	w.get(browser, "http://app.a.test/")
	got := labels(t, reg)
	if told := wrong(got); len(told) > 0 {
		t.Errorf("labels that nobody allowed: %v", told)
	}
	if have := got["postern_guard_decisions_total outcome"]; !slices.Contains(have, "allow") || !slices.Contains(have, "login") {
		t.Errorf("control: of the guards' decisions there are %v: the requests were not counted here", have)
	}
	byHost := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "by_host"}, []string{"host"})
	reg.MustRegister(byHost)
	for i := range 40 {
		byHost.WithLabelValues(fmt.Sprint("host", i)).Inc()
	}
	if told := wrong(labels(t, reg)); len(told) != 40 {
		t.Errorf("control: of 40 hosts %d are told", len(told))
	}
}
