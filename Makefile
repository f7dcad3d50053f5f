# The tiers, in the order in which .ci/run calls them: check, test, deep. Nothing
# here needs anything from outside the checkout but the Go toolchain, the module
# proxy, and what `make deps` installs. `make help` lists the targets.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-builtin-rules --no-print-directory
.DEFAULT_GOAL := help

# Tools, run from the module cache at exact versions; none enters go.mod.
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
ERRCHECK := github.com/kisielk/errcheck@v1.30.0
ERRORLINT := github.com/polyfloyd/go-errorlint@v1.8.0
GOTESTSUM := gotest.tools/gotestsum@v1.13.0

TEST := go run $(GOTESTSUM) --format pkgname --hide-summary skipped -- -p 2
CLIENTS := e2e/clients
FUZZTIME ?= 10s
LOOKS := Look|Axe|Screens
SCREENS := e2e/screenshots

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

.PHONY: run
run: ## serve with a demo application on http://localhost:8080
	go run ./cmd/simplon serve --demo

.PHONY: deps
deps: ## install what the tests need and is missing (apt-get; else it says what)
	@.ci/deps
	@$(MAKE) clients

.PHONY: clients
clients: $(if $(wildcard $(CLIENTS)/package-lock.json),$(CLIENTS)/node_modules/.package-lock.json)
	@:

$(CLIENTS)/node_modules/.package-lock.json: $(CLIENTS)/package-lock.json
	cd $(CLIENTS) && npm ci --omit=dev --ignore-scripts --no-audit --no-fund
	@touch $@

.PHONY: check
check: ## format, vet, linters, floors, catalogues, configuration, modules (2 minutes)
	@unformatted=$$(gofmt -l .); [[ -z $$unformatted ]] || { echo "not gofmt'ed:"; echo "$$unformatted"; exit 1; }
	go vet ./...
	go run $(STATICCHECK) ./...
	go run $(ERRCHECK) -ignoretests -exclude .ci/errcheck-excludes ./...
	go run $(ERRORLINT) -test=false ./...
	go test -count=1 .
	go test -count=1 -run 'Catalogue|EveryKey|Config' ./web ./cmd/simplon
	go mod tidy -diff
	go mod verify

.PHONY: test
test: deps ## every test, on SQLite, PostgreSQL and in Chromium
	@started=$$SECONDS; \
	.ci/with-services '$(TEST) -timeout 15m $$(go list ./... | grep -v /e2e)' \
		'$(TEST) -timeout 15m -count=1 ./e2e/...'; \
	echo "make test: $$((SECONDS - started)) s"

.PHONY: deep
deep: deps race fuzz screens ## race detector, fuzz targets, pictures of every page (40 minutes at most)

.PHONY: race
race: ## the tests outside of a browser under the race detector
	.ci/with-services "$(TEST) -timeout 30m -race -skip '$(LOOKS)' $$(go list ./... | grep -v /e2e | tr '\n' ' ')"

.PHONY: fuzz
fuzz: ## each fuzz target for FUZZTIME (10s)
	.ci/fuzz $(FUZZTIME)

.PHONY: screens
screens: ## pictures of every page into e2e/screenshots, with the checks of axe
	mkdir -p $(SCREENS)
	SIMPLON_SCREENSHOTS='$(CURDIR)/$(SCREENS)' .ci/with-services \
		"$(TEST) -timeout 15m -count=1 -run '$(LOOKS)|TestPages|TestDemo|TestSetupLink' ./web/... ./modules/demo/... ./e2e/..."

.PHONY: soak
soak: deps ## what races, 20 times over under the race detector, and each fuzz target for 5 minutes
	.ci/with-services '$(TEST) -timeout 3h -race -count=20 ./sqldb/... ./secret/... ./storage/...'
	.ci/fuzz 5m

.PHONY: dist
dist: ## stripped binaries for linux/amd64 and linux/arm64 with checksums, in dist/
	rm -rf dist
	for arch in amd64 arm64; do \
		CGO_ENABLED=0 GOOS=linux GOARCH=$$arch go build -trimpath -ldflags '-s -w' -o dist/simplon-linux-$$arch ./cmd/simplon; \
	done
	cp LICENSE config.example.yaml dist/
	cd dist && sha256sum simplon-linux-* > SHA256SUMS && cat SHA256SUMS

.PHONY: clean
clean: ## remove what was built (not ./data, not node_modules)
	rm -rf dist .cache $(SCREENS) simplon
