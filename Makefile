# Orbital's commands. `make run` and `make test` do all the set-up that they need.

STATE ?=
SCRIPT ?=
# As it was given: neither make nor the shell expands or splits it.
export ORBITAL_SCRIPT = $(value SCRIPT)
TARGETS := wasm32-unknown-unknown x86_64-unknown-none
CARGO ?= cargo
ORBITAL := $(CARGO) run --quiet --package host-wasm --bin orbital --
GLOBAL := $(if $(STATE),--state "$(STATE)")

.PHONY: run test bench bench-core lint setup setup-test help clean

run: setup ## Build and boot; gives the shell. SCRIPT='...' runs a script, STATE=DIR keeps the system there
	@$(CARGO) build --package host-wasm --bin orbital
	@$(ORBITAL) $(GLOBAL) run $${ORBITAL_SCRIPT:+-c "$$ORBITAL_SCRIPT"}

test: setup setup-test ## All tests that what lands must pass
	@.ci/sections

bench: setup ## Criterion benchmarks; writes the table of docs/performance.md
	@$(CARGO) bench --package log-store
	@$(CARGO) bench --package host-wasm --bench system
	@$(CARGO) run --quiet --profile bench --package host-wasm --example performance_table

bench-core: setup setup-test ## Instructions of call + reply_receive through kernel and Axiom on the bare target
	@axiom/bench-core/count

lint: setup ## Formatting and clippy
	@$(CARGO) fmt --check
	@$(CARGO) clippy --workspace --all-targets -- -D warnings

# rust-toolchain.toml names the targets, but not every rustup installs them by itself.
setup:
	@command -v $(CARGO) >/dev/null || { echo "orbital: there is no cargo; install Rust from https://rustup.rs" >&2; exit 1; }
	@command -v cc >/dev/null || { echo "orbital: there is no C linker; install gcc (Debian: apt-get install gcc libc6-dev)" >&2; exit 1; }
	@if command -v rustup >/dev/null; then \
	    for target in $(TARGETS); do \
	        rustup target list --installed | grep -qx "$$target" || rustup target add "$$target" || \
	            { echo "orbital: the target $$target cannot be installed; try: rustup target add $$target" >&2; exit 1; }; \
	    done; \
	fi

# The instruction counts need valgrind.
setup-test:
	@command -v valgrind >/dev/null || \
	    { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get -qq update && apt-get -qq install -y valgrind >/dev/null; } || \
	    { echo "orbital: instructions are counted with valgrind; install it (Debian: apt-get install valgrind)" >&2; exit 1; }

clean: ## Remove what was built
	@$(CARGO) clean

help: ## This list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18
