package caddymodule

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// counters are what this configuration's guards did. They start again with each
// configuration, as Caddy's own do.
type counters struct {
	decisions *prometheus.CounterVec
}

func (c *counters) register(reg *prometheus.Registry) error {
	c.decisions = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "postern", Subsystem: "guard", Name: "decisions_total",
		Help: "Requests that a guard decided about, by outcome: allow, anonymous (a path that needs no login), login, refuse or error.",
	}, []string{"outcome"})
	if err := reg.Register(c.decisions); err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	return nil
}

func (c *counters) observe(outcome string) { c.decisions.WithLabelValues(outcome).Inc() }
