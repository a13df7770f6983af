package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/postern-sso/postern/core"
)

const (
	// leastRetention is how long events stay at the least: who reads the audit log has
	// time to.
	leastRetention = time.Hour
	maxFooterLinks = 50
)

// settingsRoutes are those of the tenant's settings.
func settingsRoutes() []route {
	const path, edit = "admin/settings/", access("authentik_rbac.edit_system_settings")
	read := func(f *fields) { readSettings(f, core.DefaultSettings()) }
	return []route{
		{http.MethodGet, path, "authentik_rbac.view_system_settings", retrieveSettings, about("Show the tenant's settings").gives(settingsShape())},
		{http.MethodPut, path, edit, updateSettings, about("Change the tenant's settings").takes("SettingsRequest", read).gives(settingsShape())},
		{http.MethodPatch, path, edit, updateSettings, about("Change some of the tenant's settings").takes("PatchedSettingsRequest", read).partly().gives(settingsShape())},
	}
}

func settingsShape() shape {
	s := bodyShape("Settings", func(f *fields) { readSettings(f, core.DefaultSettings()) })
	for i := range s.members {
		s.members[i] = s.members[i].answered()
	}
	return s
}

func readSettings(f *fields, s *core.Settings) {
	const kept = "Kept and shown; nothing is decided by it."
	text(f, "avatars", rule{blank: true, max: 1000, about: kept}, &s.Avatars)
	boolean(f, "default_user_change_name", &s.ChangeName)
	boolean(f, "default_user_change_email", &s.ChangeEmail)
	boolean(f, "default_user_change_username", &s.ChangeUserName)
	timedelta(f, "event_retention", leastRetention, &s.EventRetention)
	readFooterLinks(f, "footer_links", &s.FooterLinks)
	boolean(f, "gdpr_compliance", &s.GDPR)
	boolean(f, "impersonation", &s.Impersonation)
	boolean(f, "impersonation_require_reason", &s.ImpersonationReason)
	timedelta(f, "default_token_duration", time.Second, &s.TokenDuration)
	bounded(f, "default_token_length", 1, 255, fmt.Sprintf("Of keys that are made, in characters. None is shorter than %d.", minKey), &s.TokenLength)
	bounded(f, "reputation_lower_limit", -1<<31, 0, kept, &s.ReputationLower)
	bounded(f, "reputation_upper_limit", 0, 1<<31-1, kept, &s.ReputationUpper)
	bounded(f, "pagination_default_page_size", 0, 1<<31-1, fmt.Sprintf("0: %d.", pageSize), &s.PageSize)
	bounded(f, "pagination_max_page_size", 0, 1<<31-1, fmt.Sprintf("No list has more than %d rows.", maxPageSize), &s.MaxPageSize)
	dict(f, "flags", &s.Flags)
}

// bounded is an integer between two.
func bounded(f *fields, name string, least, most int, about string, into *int) {
	n := *into
	integer(f, name, rule{about: about}, &n)
	switch {
	case f.told != nil || !f.has(name) || len(f.errs[name]) > 0:
	case n < least:
		f.fail(name, fmt.Sprintf("Ensure this value is greater than or equal to %d.", least))
	case n > most:
		f.fail(name, fmt.Sprintf("Ensure this value is less than or equal to %d.", most))
	default:
		*into = n
	}
}

// readFooterLinks reads what is shown at the foot of pages: links of the web, paths, mail
// addresses, and texts that lead nowhere.
func readFooterLinks(f *fields, name string, into *[]core.FooterLink) {
	r := rule{null: true}
	if f.tells(name, r, listShape(footerLinkShape()).atMost(maxFooterLinks)) {
		return
	}
	items, ok := f.items(name, r)
	if !ok {
		if f.has(name) && len(f.errs[name]) == 0 {
			*into = nil // null
		}
		return
	}
	if len(items) > maxFooterLinks {
		f.fail(name, fmt.Sprintf("Ensure this field has no more than %d elements.", maxFooterLinks))
		return
	}
	var out []core.FooterLink
	for i, raw := range items {
		var link struct {
			Name string  `json:"name"`
			Href *string `json:"href"`
		}
		if json.Unmarshal(raw, &link) != nil || !isLine(link.Name, 200) {
			f.fail(name, fmt.Sprintf("Link %d: write {\"name\": \"Imprint\", \"href\": \"https://example.com/imprint\"}.", i+1))
			return
		}
		to := ""
		if link.Href != nil {
			to = strings.TrimSpace(*link.Href)
		}
		address, mail := strings.CutPrefix(to, "mailto:")
		if _, ok := core.LinkTarget(to); to != "" && !ok && (!mail || !isEmail(address)) {
			f.fail(name, fmt.Sprintf("Link %d: href must begin with https://, http://, mailto: or /.", i+1))
			return
		}
		out = append(out, core.FooterLink{Name: link.Name, Href: to})
	}
	*into = out
}

// isLine reports whether s is one line of text, and not empty.
func isLine(s string, most int) bool {
	return strings.TrimSpace(s) != "" && len(s) <= most && !strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c >= 0x7f && c < 0xa0 })
}

func showFooterLinks(links []core.FooterLink) []object {
	out := []object{}
	for _, l := range links {
		out = append(out, object{"name": l.Name, "href": l.Href})
	}
	return out
}

func showSettings(s *core.Settings) object {
	return object{
		"avatars": s.Avatars, "default_user_change_name": s.ChangeName, "default_user_change_email": s.ChangeEmail, "default_user_change_username": s.ChangeUserName,
		"event_retention": string(s.EventRetention), "footer_links": showFooterLinks(s.FooterLinks), "gdpr_compliance": s.GDPR,
		"impersonation": s.Impersonation, "impersonation_require_reason": s.ImpersonationReason,
		"default_token_duration": string(s.TokenDuration), "default_token_length": s.TokenLength,
		"reputation_lower_limit": s.ReputationLower, "reputation_upper_limit": s.ReputationUpper,
		"pagination_default_page_size": s.PageSize, "pagination_max_page_size": s.MaxPageSize, "flags": attributes(s.Flags),
	}
}

func retrieveSettings(c *call) (reply, error) {
	s, err := c.Store.Settings(c.ctx(), c.t)
	if err != nil {
		return reply{}, err
	}
	return ok(showSettings(s))
}

func updateSettings(c *call) (reply, error) {
	readSettings(c.body, core.DefaultSettings()) // all that is wrong, before anything is written
	if err := c.body.err(); err != nil {
		return reply{}, err
	}
	var kept core.Timedelta
	s, err := c.Store.UpdateSettings(c.ctx(), c.t, func(s *core.Settings) error {
		f := c.body.again()
		kept = s.EventRetention
		readSettings(f, s)
		if s.EventRetention.Or(0) < kept.Or(0) && !c.super {
			f.fail("event_retention", "Only a superuser can make it shorter: it erases the audit log.")
		}
		return f.err()
	})
	if err != nil {
		return reply{}, err
	}
	name := "settings"
	if s.EventRetention != kept {
		name += fmt.Sprintf(", with event_retention %s instead of %s", s.EventRetention, kept)
	}
	c.record(core.EventModelUpdated, "authentik_tenants", "Tenant", c.info.Tenant.UUID, name)
	return ok(showSettings(s))
}
