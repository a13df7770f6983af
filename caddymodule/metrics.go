package caddymodule

import (
	"fmt"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/postern-sso/postern/storage/redisdb"
)

// counters are what this configuration's guards did, and whether Redis answers. They start again with each
// configuration, as Caddy's own do.
type counters struct {
	decisions *prometheus.CounterVec
	allowed   prometheus.Counter               // of decisions, for the one that nearly all are
	copies    atomic.Pointer[redisdb.Sessions] // nil until the stores are open
}

func (c *counters) register(reg *prometheus.Registry) error {
	c.decisions = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "postern", Subsystem: "guard", Name: "decisions_total",
		Help: "Requests that a guard decided about, by outcome: allow, anonymous (a path that needs no login), login, refuse or error.",
	}, []string{"outcome"})
	c.allowed = c.decisions.WithLabelValues(allow)
	if err := reg.Register(c.decisions); err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	if err := reg.Register(redisUp{c}); err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	return nil
}

// redisUp is a figure where there is a Redis, and none where there is not.
type redisUp struct{ *counters }

func (redisUp) desc() *prometheus.Desc {
	return prometheus.NewDesc("postern_sessions_redis_up", "1 while the Redis of `sessions` is used, 0 while it is away and sessions are read from the database.", nil, nil)
}

// Describe is for the registry.
func (r redisUp) Describe(out chan<- *prometheus.Desc) { out <- r.desc() }

// Collect asks the store.
func (r redisUp) Collect(out chan<- prometheus.Metric) {
	store := r.copies.Load()
	if store == nil {
		return
	}
	configured, answers := store.Connected()
	if !configured {
		return
	}
	value := 0.0
	if answers {
		value = 1
	}
	out <- prometheus.MustNewConstMetric(r.desc(), prometheus.GaugeValue, value)
}

// allow is what the guard calls its commonest outcome.
const allow = "allow"

func (c *counters) observe(outcome string) {
	if outcome == allow {
		c.allowed.Inc()
		return
	}
	c.decisions.WithLabelValues(outcome).Inc()
}
