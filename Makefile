# FILA-IA. make help lists the commands.
SHELL := /bin/bash
GO ?= go
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo development)
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
SDK := cmd/filaia/testdata/sdk

.DEFAULT_GOAL := help
.PHONY: help run demo test faults bench soak build lint generate need-go need-postgres need-redis need-tests

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: need-postgres build ## install what is missing, build, start on http://127.0.0.1:8080
	@exec bin/filaia serve

demo: need-postgres build ## as run, with made-up customers, 90 days of usage and the simulator
	@export FILAIA_DATA_DIR="$${FILAIA_DATA_DIR:-$(CURDIR)/data/demo}"; exec bin/filaia demo serve

build: need-go ## compile bin/filaia
	$(GO) build -trimpath -ldflags "-s -w -X main.versionName=$(VERSION)" -o bin/filaia ./cmd/filaia

test: need-tests build ## install what is missing, run every test
	$(GO) test -race -timeout 60m ./...

faults: need-go need-postgres ## print what clients see and what is recorded when providers fail
	$(GO) test -count=1 -timeout 10m -run TestTableOfFaults -v ./cmd/filaia

EVENTS ?= 2000000
bench: need-postgres need-redis build ## measure, each figure against a baseline in the same run; pages over EVENTS=2000000 calls
	$(GO) run ./bench
	$(GO) run ./bench/dashboard -events $(EVENTS)

SEED ?= 1
MINUTES ?= 10
REPLICAS ?= 3
soak: need-go need-postgres need-redis ## kill replicas, PostgreSQL and Redis under load, then check every token (SEED=1 MINUTES=10 REPLICAS=3)
	$(GO) run ./bench/soak -seed $(SEED) -minutes $(MINUTES) -replicas $(REPLICAS)

lint: need-go ## vet, staticcheck, generated code up to date
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "not gofmt-ed:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	@$(MAKE) --no-print-directory generate
	@git diff --exit-code --stat -- '*_templ.go' || { echo "generated code was not up to date; commit what make generate wrote"; exit 1; }

generate: need-go ## write the Go code of the templ files
	$(GO) tool templ generate -path views

need-go:
	@command -v $(GO) >/dev/null || { echo "FILA-IA needs Go 1.26 or newer: https://go.dev/dl"; exit 1; }

# One recipe for apt and brew: $(call install,what for people,test that it is there,apt packages,brew packages)
define install
	@if ! { $(2); } >/dev/null 2>&1; then \
		echo "Installing $(1)"; \
		if command -v apt-get >/dev/null; then \
			$(SUDO) apt-get -qq update && DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get -qq install -y --no-install-recommends $(3) >/dev/null; \
		elif command -v brew >/dev/null; then brew install --quiet $(4); \
		else echo "Neither apt-get nor brew is here: install $(1) by hand"; exit 1; fi; \
	fi
endef

need-postgres:
	$(call install,PostgreSQL (its programs; FILA-IA keeps a private server),command -v initdb || ls /usr/lib/postgresql/*/bin/initdb || ls /opt/homebrew/opt/postgresql*/bin/initdb || ls /usr/local/opt/postgresql*/bin/initdb,postgresql,postgresql@17)

need-redis:
	$(call install,Redis (for tests and benchmarks),command -v redis-server || command -v valkey-server,redis-server,redis)

need-tests: need-go need-postgres need-redis
	$(call install,a C compiler (for the race detector),command -v gcc || command -v clang,gcc libc6-dev,gcc)
	$(call install,Chromium (for tests),command -v chromium || command -v google-chrome || ls "/Applications/Chromium.app",chromium fonts-liberation,--cask chromium)
	$(call install,Node.js (for tests with the official SDKs),command -v npm,nodejs npm,node)
	@test $(SDK)/node_modules/.package-lock.json -nt $(SDK)/package-lock.json || { \
		echo "Installing the official SDKs (for tests)"; cd $(SDK) && npm ci --silent --no-audit --no-fund && touch node_modules/.package-lock.json; }

include static/vendor.mk
