package api

import (
	"strconv"

	"github.com/postern-sso/postern/core/expression"
	"github.com/postern-sso/postern/core/policy"
)

// checkAccess tells a user whether they may open an application; and who may see the
// application also of others, and why.
func checkAccess(c *call) (reply, error) {
	sees := c.may("authentik_core.view_application")
	if other := c.param("for_user"); other != "" && other != strconv.FormatInt(c.user.PK, 10) && !sees {
		return reply{}, errPermission
	}
	a, err := c.Store.ApplicationBySlug(c.ctx(), c.t, c.key)
	if err != nil {
		return reply{}, found(err, "Application")
	}
	user, groups := c.user, c.groups
	if c.param("for_user") != "" {
		if user, err = c.forUser(); err != nil {
			return reply{}, err
		}
		if groups, err = c.Store.UserGroups(c.ctx(), c.t, user.ID); err != nil {
			return reply{}, err
		}
	}
	d, err := c.Policy.Decide(c.ctx(), c.t, policy.Request{Application: a, User: user, Groups: groups, Logged: sees})
	if err != nil {
		return reply{}, err
	}
	log := []object{}
	if sees {
		log = c.traceEvents(d)
	}
	return ok(object{"passing": d.Allowed, "messages": list(d.Notice()), "log_messages": log})
}

// traceEvents is the trace of a decision as the lines of a log: what each policy wrote to
// ak_logger or printed, one line for each rule, and the reason.
func (c *call) traceEvents(d *policy.Decision) []object {
	const logger = "policy"
	out := make([]object, 0, len(d.Steps)+1)
	for i := range d.Steps {
		s := &d.Steps[i]
		level := "info"
		if s.Result == policy.Failed || s.Result == policy.Gone {
			level = "warning"
		}
		for _, l := range s.Log {
			out = append(out, lineEvent(l, s.Name))
		}
		out = append(out, c.logEvent(level, s.String(), logger, map[string]string{
			"binding": string(s.Binding), "kind": s.Kind, "name": s.Name, "result": string(s.Result),
			"passed": strconv.FormatBool(s.Pass), "decides": strconv.FormatBool(s.Decides), "duration": s.Duration.String(),
		}))
	}
	return append(out, c.logEvent("info", d.Reason, logger, map[string]string{"mode": d.Mode, "passed": strconv.FormatBool(d.Allowed)}))
}

// policyTestShape is whether somebody may, and why.
func policyTestShape() shape {
	return objectShape("PolicyTestResult", always("passing", booleanShape()), always("messages", listShape(textShape())), always("log_messages", listShape(logShape())))
}

func logShape() shape {
	return objectShape("LogEvent", always("timestamp", timeShape()),
		always("log_level", choiceShape("critical", "exception", "error", "warn", "warning", "info", "debug", "notset")),
		always("logger", textShape()), always("event", textShape()), always("attributes", dictShape()))
}

// logEvent is one line of a log in an answer.
func (c *call) logEvent(level, event, logger string, attributes map[string]string) object {
	return lineEvent(expression.LogLine{Time: c.Now(), Level: level, Message: event, Attributes: attributes}, logger)
}

func lineEvent(l expression.LogLine, logger string) object {
	attrs := object{}
	for k, v := range l.Attributes {
		attrs[k] = v
	}
	return object{"timestamp": stamp(l.Time), "log_level": l.Level, "logger": logger, "event": l.Message, "attributes": attrs}
}
