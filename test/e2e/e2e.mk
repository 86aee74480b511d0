# End-to-end tests with node; included by the main Makefile.
#
#   make check-e2e                 all of them
#   make check-e2e E2E="client"    those whose file's name begins so

E2E_DIR := $(dir $(lastword $(MAKEFILE_LIST)))
E2E ?=

.PHONY: check-e2e e2e-modules

# What the tests need of npm.
e2e-modules: $(E2E_DIR)node_modules/.installed

# Starting servers is most of the work: two files at a time keep two cores busy.
check-e2e: $(E2E_DIR)node_modules/.installed
	node --test --test-concurrency=2 $(sort $(if $(E2E),$(foreach name,$(E2E),$(wildcard $(E2E_DIR)$(name)*.test.mjs)),$(wildcard $(E2E_DIR)*.test.mjs)))

$(E2E_DIR)node_modules/.installed: $(E2E_DIR)package.json $(E2E_DIR)package-lock.json $(E2E_DIR).npmrc
	cd $(E2E_DIR) && ../lib/npm.sh ci --no-audit --no-fund --loglevel=error
	touch $@
