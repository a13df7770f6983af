package caddymodule

import (
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
)

// accessLog writes lines of Caddy's access log in Caddy's place, about requests whose URL is a
// secret: Caddy notes a URL before any handler sees the request, and the whole of it.
type accessLog struct {
	log *zap.Logger // http.log.access; nil: there is no server
}

// accessLine is the line about one request, and writes its answer.
type accessLine struct {
	*caddyhttp.ResponseWriterWrapper                            // has the kernel send files, where it can
	rec                              caddyhttp.ResponseRecorder // nil: nothing is logged
	r                                *http.Request
	loggers                          []*zap.Logger
	secrets                          bool // the operator wants to see credentials
	began                            time.Time
}

// instead takes over the line of a request. Whoever answers it calls done.
func (l *accessLog) instead(w http.ResponseWriter, r *http.Request) *accessLine {
	line := &accessLine{ResponseWriterWrapper: &caddyhttp.ResponseWriterWrapper{ResponseWriter: w}, r: r}
	if line.began, _ = caddyhttp.GetVar(r.Context(), "start_time").(time.Time); line.began.IsZero() { // whoever waited in a handler before ours waited, too
		line.began = time.Now()
	}
	server, _ := r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if l.log == nil || server == nil || server.Logs == nil {
		return line
	}
	if skip, _ := caddyhttp.GetVar(r.Context(), caddyhttp.LogSkipVar).(bool); skip {
		return line
	}
	caddyhttp.SetVar(r.Context(), caddyhttp.LogSkipVar, true)
	for _, name := range loggerNames(server.Logs, r) {
		line.loggers = append(line.loggers, l.log.Named(name))
	}
	line.secrets = server.Logs.ShouldLogCredentials
	line.rec = caddyhttp.NewResponseRecorder(w, nil, nil)
	line.ResponseWriter = line.rec
	return line
}

// loggerNames says who of Caddy's loggers hears of a request, as Caddy does; "" is the default one.
func loggerNames(logs *caddyhttp.ServerLogConfig, r *http.Request) []string {
	if names, ok := caddyhttp.GetVar(r.Context(), caddyhttp.AccessLoggerNameVarKey).([]any); ok {
		var out []string
		for _, n := range names {
			name, _ := n.(string)
			out = append(out, name)
		}
		return out
	}
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = r.Host
	}
	host = strings.ToLower(host)
	if names, ok := logs.LoggerNames[host]; ok {
		return names
	}
	for pattern, names := range logs.LoggerNames {
		if certmagic.MatchWildcard(host, pattern) {
			return names
		}
	}
	for _, pattern := range logs.SkipHosts {
		if certmagic.MatchWildcard(host, pattern) {
			return nil
		}
	}
	if logs.SkipUnmappedHosts {
		return nil
	}
	return []string{logs.DefaultLoggerName}
}

// done writes the line, as Caddy would have, with all of the query redacted.
func (l *accessLine) done() {
	if l.rec == nil {
		return
	}
	r := l.r.Clone(l.r.Context())
	path, _, asked := strings.Cut(originalURI(r.RequestURI, r.URL), "?")
	if before, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok {
		path, _, asked = strings.Cut(originalURI(before.RequestURI, before.URL), "?")
	}
	if asked {
		path += "?REDACTED"
	}
	r.RequestURI = path
	if from, err := url.Parse(r.Header.Get("Referer")); err == nil && from.RawQuery != "" {
		from.RawQuery = "REDACTED"
		r.Header.Set("Referer", from.String())
	}
	for _, log := range l.loggers {
		level := zap.InfoLevel
		if l.rec.Status() >= http.StatusInternalServerError {
			level = zap.ErrorLevel
		}
		if c := log.Check(level, "handled request"); c != nil {
			c.Write(
				zap.Object("request", caddyhttp.LoggableHTTPRequest{Request: r, ShouldLogCredentials: l.secrets}),
				zap.Duration("duration", time.Since(l.began)), zap.Int("size", l.rec.Size()), zap.Int("status", l.rec.Status()),
				zap.Object("resp_headers", caddyhttp.LoggableHTTPHeader{Header: l.rec.Header(), ShouldLogCredentials: l.secrets}),
			)
		}
	}
}

// accessLog finds the log that Caddy's own server writes to.
func (a *App) accessLog() accessLog {
	mod, err := a.ctx.AppIfConfigured("http")
	if err != nil {
		return accessLog{}
	}
	server, ok := mod.(caddy.Module)
	if !ok {
		return accessLog{}
	}
	return accessLog{a.ctx.Logger(server).Named("log.access")}
}
