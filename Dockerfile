# syntax=docker/dockerfile:1
# The same program as `make build`, in Caddy's own image.
FROM caddy:2.11.9-builder AS builder
WORKDIR /src
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -tags nobadger,nomysql,nopgx -ldflags '-s -w' \
	-o /usr/bin/caddy ./caddymodule/cmd/caddy

FROM caddy:2.11.9
COPY --from=builder /usr/bin/caddy /usr/bin/caddy
