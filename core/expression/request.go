package expression

import (
	"maps"
	"net/url"

	"go.starlark.net/starlark"

	"github.com/postern-sso/postern/core"
)

// policyRequest is "request": authentik's PolicyRequest, not the HTTP request.
func (r *run) policyRequest() *object {
	if r.request != nil {
		return r.request
	}
	r.alloc(256)
	r.request = &object{kind: "PolicyRequest", id: "request"}
	r.request.get = func(name string) starlark.Value {
		switch name {
		case "user":
			return r.requestUser()
		case "http_request":
			if r.env.Request == nil {
				return starlark.None
			}
			return r.httpRequest()
		case "obj":
			if r.env.Object != nil {
				return r.fromGo(r.env.Object, 0)
			}
			return r.mapping()
		case "context":
			return r.context()
		case "debug":
			return starlark.Bool(r.env.Debug)
		}
		return nil
	}
	return r.request
}

// context is "request.context": for a mapping a value to read, for a policy the dict
// of the run.
func (r *run) context() starlark.Value {
	if r.policy != nil {
		return r.sharedContext()
	}
	return r.givenContext()
}

// givenContext is what was given beyond the user and the request.
func (r *run) givenContext() starlark.Value {
	all := map[string]any{}
	maps.Copy(all, r.env.Vars)
	maps.Copy(all, r.env.Context)
	v := r.fromGo(all, 0)
	if d, ok := v.(*dict); ok && r.env.Provider != nil {
		if _, given := all["provider"]; !given {
			r.put(&d.table, starlark.String("provider"), r.provider(r.env.Provider))
		}
	}
	return v
}

func (r *run) mapping() starlark.Value {
	m := r.env.Mapping
	if m == nil {
		return starlark.None
	}
	return r.newObject(Object{"PropertyMapping", map[string]any{
		"pk": string(m.ID), "id": string(m.ID), "name": m.Name, "managed": m.Managed,
		"scope_name": m.ScopeName, "saml_name": m.SAMLName, "friendly_name": m.FriendlyName, "description": m.Description,
	}})
}

// httpRequest is "http_request": what the edge states of the request, by Django's
// names.
func (r *run) httpRequest() *object {
	q := r.env.Request
	target, err := url.ParseRequestURI(q.URI)
	if err != nil {
		target = &url.URL{Path: "/"}
	}
	call := func(name string, v func() starlark.Value) starlark.Value {
		return &builtin{name: name, fn: func(_ *run, a *args) starlark.Value {
			a.none()
			return v()
		}}
	}
	return &object{kind: "HttpRequest", id: q.ID, get: func(name string) starlark.Value {
		switch name {
		case "scheme":
			return starlark.String(q.Scheme)
		case "path", "path_info":
			return starlark.String(target.Path)
		case "method":
			return starlark.String(q.Method)
		case "is_secure":
			return call(name, func() starlark.Value { return starlark.Bool(q.Scheme == "https") })
		case "get_host":
			return call(name, func() starlark.Value { return starlark.String(q.Host) })
		case "get_full_path":
			return call(name, func() starlark.Value { return starlark.String(target.RequestURI()) })
		case "build_absolute_uri":
			return call(name, func() starlark.Value { return starlark.String(q.Origin() + target.RequestURI()) })
		case "GET":
			r.alloc(4 * len(target.RawQuery))
			values := map[string]any{}
			for k, v := range target.Query() {
				values[k] = v[len(v)-1] // Django's QueryDict gives the last
			}
			return r.fromGo(values, 0)
		case "META":
			meta := map[string]any{
				"HTTP_HOST": q.Host, "PATH_INFO": target.Path, "QUERY_STRING": target.RawQuery,
				"REQUEST_METHOD": q.Method, "HTTP_USER_AGENT": q.UserAgent,
			}
			if q.ClientIP.IsValid() {
				meta["REMOTE_ADDR"] = q.ClientIP.String()
			}
			return r.fromGo(meta, 0)
		case "headers": // what may be known of them: no cookie and no credentials
			return r.fromGo(map[string]any{"Host": q.Host, "User-Agent": q.UserAgent}, 0)
		case "user":
			return r.requestUser()
		case "request_id":
			return starlark.String(q.ID)
		case "brand", "tenant":
			return r.brand(q)
		}
		return nil
	}}
}

// brand is the tenant with its brand at the request's host.
func (r *run) brand(q *core.RequestInfo) starlark.Value {
	if q.Tenant == nil {
		return starlark.None
	}
	t, look := q.Tenant, q.Look(r.ctx)
	b := look.Brand
	r.alloc(2 * weight(b.Attributes))
	attributes := map[string]any{}
	Merge(attributes, b.Attributes)
	return r.newObject(Object{"Brand", map[string]any{
		"id": t.UUID, "brand_uuid": string(b.ID), "domain": b.Domain, "default": b.Default,
		"branding_title": look.Title, "branding_logo": b.Logo, "branding_favicon": b.Favicon,
		"schema_name": string(t.ID), "name": t.Name, "attributes": attributes,
	}})
}

// provider is "provider". No secret is among its attributes.
func (r *run) provider(p core.Provider) starlark.Value {
	var base core.ProviderBase
	attrs := map[string]any{}
	kind := "Provider"
	switch p := p.(type) {
	case *core.Client:
		if p == nil {
			return starlark.None
		}
		base, kind = p.ProviderBase, "OAuth2Provider"
		attrs["client_id"], attrs["client_type"] = p.ClientID, string(p.Type)
		attrs["sub_mode"], attrs["issuer_mode"] = string(p.SubMode), string(p.IssuerMode)
		attrs["include_claims_in_id_token"] = p.IncludeClaimsInIDToken
	case *core.ProxyProvider:
		if p == nil {
			return starlark.None
		}
		base, kind = p.ProviderBase, "ProxyProvider"
		attrs["client_id"], attrs["mode"] = p.ClientID, string(p.Mode)
		attrs["external_host"], attrs["internal_host"], attrs["cookie_domain"] = p.ExternalHost, p.InternalHost, p.CookieDomain
	case nil:
		return starlark.None
	}
	attrs["pk"], attrs["name"], attrs["application"] = int64(base.ID), base.Name, any(nil)
	if a := r.env.Application; a != nil && a.Provider == base.ID {
		attrs["application"] = a
	}
	o := r.newObject(Object{kind, attrs})
	o.id, o.data = itoa(int(base.ID)), p
	return o
}

func (r *run) application(a *core.Application) starlark.Value {
	o := r.newObject(Object{"Application", map[string]any{
		"pk": string(a.ID), "name": a.Name, "slug": a.Slug, "group": a.Group, "meta_launch_url": a.LaunchURL,
		"meta_description": a.Description, "meta_publisher": a.Publisher, "open_in_new_tab": a.OpenInNewTab,
	}})
	o.id = string(a.ID)
	return o
}
