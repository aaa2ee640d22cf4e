# Vendored browser libraries: pinned here, fetched from npm, committed under static/vendor. Run: make vendor
VENDOR_TABLER  := 1.6.1
VENDOR_HTMX    := 2.0.11
VENDOR_SSE     := 2.2.4
VENDOR_ECHARTS := 6.1.0
VENDOR_INTER   := 5.3.0

.PHONY: vendor
vendor: ## fetch the pinned browser libraries again
	set -eu; tmp=$$(mktemp -d); trap 'rm -rf "$$tmp"' EXIT; dest=$(CURDIR)/static/vendor; \
	get() { mkdir -p "$$tmp/$$1"; tgz=$$(cd "$$tmp" && npm pack --silent "$$2" | tail -n 1); tar -xzf "$$tmp/$$tgz" -C "$$tmp/$$1" --strip-components=1; }; \
	get tabler  "@tabler/core@$(VENDOR_TABLER)"; \
	get htmx    "htmx.org@$(VENDOR_HTMX)"; \
	get sse     "htmx-ext-sse@$(VENDOR_SSE)"; \
	get echarts "echarts@$(VENDOR_ECHARTS)"; \
	get inter   "@fontsource-variable/inter@$(VENDOR_INTER)"; \
	rm -rf "$$dest"; mkdir -p "$$dest/licences"; \
	sed '/^\/\*# sourceMappingURL/d' "$$tmp/tabler/dist/css/tabler.min.css" >"$$dest/tabler.min.css"; \
	cp "$$tmp/htmx/dist/htmx.min.js" "$$dest/htmx.min.js"; \
	cp "$$tmp/sse/dist/sse.min.js" "$$dest/htmx-ext-sse.min.js"; \
	cp "$$tmp/echarts/dist/echarts.common.min.js" "$$dest/echarts.min.js"; \
	cp "$$tmp/inter/files/inter-latin-wght-normal.woff2" "$$dest/inter.woff2"; \
	cp "$$tmp/htmx/LICENSE" "$$dest/licences/htmx.txt"; \
	cp "$$tmp/sse/LICENSE" "$$dest/licences/htmx-ext-sse.txt"; \
	cat "$$tmp/echarts/LICENSE" "$$tmp/echarts/NOTICE" >"$$dest/licences/echarts.txt"; \
	cp "$$tmp/inter/LICENSE" "$$dest/licences/inter.txt"; \
	sed -n '1,/\*\//p' "$$tmp/tabler/dist/css/tabler.css" >"$$dest/licences/tabler.txt"; \
	printf '%s\n' 'tabler $(VENDOR_TABLER) MIT' 'htmx $(VENDOR_HTMX) 0BSD' 'htmx-ext-sse $(VENDOR_SSE) 0BSD' \
		'echarts $(VENDOR_ECHARTS) Apache-2.0 (common build)' 'inter $(VENDOR_INTER) OFL-1.1 (latin, variable weight)' \
		'tabler icons 3.51.0 MIT (paths copied into views/ui/icons.go)' >"$$dest/VERSIONS"
