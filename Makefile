# Postern. `make help` lists the targets. Only Go is needed to build and run.

SHELL := /bin/bash
.DEFAULT_GOAL := help

# One flag set for everything that compiles Caddy: with another, Go compiles all
# of it once more, which takes minutes.
TAGS := nobadger,nomysql,nopgx
BUILD := CGO_ENABLED=0 go build -trimpath -tags $(TAGS)
CADDY_TEST := CGO_ENABLED=0 go test -trimpath -tags $(TAGS)

# Packages that do not import Caddy: these run under the race detector.
CORE := ./core/... ./outpost/... ./storage/...

.PHONY: help build run test test-short bench fuzz lint golden xcaddy

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## bin/caddy: Caddy with its standard modules and Postern
	$(BUILD) -ldflags '-s -w' -o bin/caddy ./caddymodule/cmd/caddy

run: build ## build, then run Caddyfile.example; data in ./data
	@port=$$(test -f .env && sed -n 's/^[[:space:]]*POSTERN_PORT=[[:space:]]*"\{0,1\}\([0-9]*\).*/\1/p' .env | tail -1); port=$${POSTERN_PORT:-$${port:-9080}}; \
	echo "Postern listens on http://localhost:$$port; a guarded page is at http://app.localhost:$$port"; \
	exec bin/caddy run --config Caddyfile.example --adapter caddyfile $$(test -f .env && echo --envfile .env)

test: build ## every test, with the real counterparts; installs what is missing
	.ci/test

test-short: ## unit tests and the embedded backends only
	go test -short $(CORE)
	$(CADDY_TEST) -short ./caddymodule/...
	@echo "left out: PostgreSQL, Redis, MinIO, Chromium (make test runs them)"

bench: ## benchmarks on SQLite and PostgreSQL, each beside its ceiling; a table at the end
	.ci/bench

# A time, as 1m, or a number of tries, as 20000x.
FUZZTIME ?= 1m
fuzz: ## every fuzz target for FUZZTIME (1m)
	@set -e; for dir in $$(grep -rl --include='*_test.go' '^func Fuzz' core outpost storage | xargs -n 1 dirname | sort -u); do \
	  for f in $$(cat $$dir/*_test.go | sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\).*/\1/p'); do \
	    echo "$$dir $$f"; go test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) ./$$dir; \
	  done; done

lint: ## gofmt, go vet, golangci-lint
	.ci/lint

golden: ## rewrite the golden files; read the difference before you commit it
	go test ./core/oidc/... -update
	$(CADDY_TEST) ./caddymodule/... -update

xcaddy: ## print and run the xcaddy line that xcaddy.json stands for
	.ci/xcaddy
