# Orbital's commands. `make run` and `make test` do all the set-up that they need.

STATE ?=
SCRIPT ?=
BOOT ?=
MEMORY ?=
GDB ?=
N ?= 100
# As it was given: neither make nor the shell expands or splits it.
export ORBITAL_SCRIPT = $(value SCRIPT)
# Of fuzz, for each target, and of soak; each has its own default.
SECONDS ?=
SEED ?=
ONLY ?=
FUZZ ?=
SECTIONS ?=
BUILT := $(or $(CARGO_TARGET_DIR),target)/debug
TARGETS := wasm32-unknown-unknown x86_64-unknown-none
CARGO ?= cargo
ORBITAL := $(CARGO) run --quiet --package host-wasm --bin orbital --
GLOBAL := $(if $(STATE),--state "$(STATE)")

QEMU := $(CARGO) run --quiet --package qemu --

.PHONY: run qemu image test test-all fuzz mutations miri soak crash bench bench-core bench-qemu bench-start lint setup setup-qemu setup-image setup-test setup-fuzz setup-miri help clean

run: setup ## Build and boot; gives the shell. SCRIPT='...' runs a script, STATE=DIR keeps the system there
	@$(CARGO) build --package host-wasm --bin orbital
	@$(ORBITAL) $(GLOBAL) run $${ORBITAL_SCRIPT:+-c "$$ORBITAL_SCRIPT"}

qemu: setup setup-qemu ## The same on bare x86_64, in QEMU. BOOT=pvh|bios|uefi, SCRIPT='...', STATE=DIR, MEMORY=MiB, GDB=1
	@$(if $(filter bios uefi,$(BOOT)),$(MAKE) --no-print-directory setup-image)
	@$(CARGO) build --package qemu
	@$(QEMU) $(GLOBAL) run $(if $(BOOT),--boot $(BOOT)) $(if $(MEMORY),--memory $(MEMORY)) $(if $(GDB),--gdb) \
	    $${ORBITAL_SCRIPT:+-c "$$ORBITAL_SCRIPT"}

image: setup setup-image ## A disk image that starts a machine; prints its path. BOOT=uefi|bios
	@$(CARGO) build --package qemu
	@$(QEMU) image $(if $(BOOT),--boot $(BOOT))

test: setup setup-image setup-test setup-fuzz ## All tests that what lands must pass
	@.ci/sections

crash: setup setup-qemu ## Power cuts at random instants of a write load, in QEMU. N=100, STATE=DIR
	@$(CARGO) build --package qemu
	@$(QEMU) $(GLOBAL) crash $(N)

test-all: setup setup-image setup-test setup-fuzz setup-miri ## The same with full numbers: exploration, crashes, kills, fuzzing, mutations, Miri, soak; hours. SECTIONS='kills soak' for some
	@.ci/sections-all $(SECTIONS)

miri: setup setup-miri ## Tests under Miri, which sees undefined behaviour
	@.ci/miri

fuzz: setup setup-fuzz ## Coverage-guided fuzzing. SECONDS=60 for each target, FUZZ='disk log' for some of them
	@fuzz/run $(or $(SECONDS),60) $(FUZZ)

soak: setup ## Everything at once, for long: load, kills, crashes, hostile programs. SECONDS=1800, SEED=N, STATE=DIR to go on with
	@$(CARGO) build --package host-wasm --bin orbital
	@$(CARGO) build --package soak
	@if command -v qemu-system-x86_64 >/dev/null; then $(CARGO) build --package qemu; fi
	@SECONDS=$(SECONDS) SEED=$(SEED) STATE="$(STATE)" $(BUILT)/soak $(BUILT)/orbital \
	    $$(command -v qemu-system-x86_64 >/dev/null && echo $(BUILT)/qemu)

mutations: setup ## Breaks the code on purpose, and shows which test notices. ONLY=WORD for some of the breaks
	@$(CARGO) run --quiet --package mutations -- $(ONLY)

# What is measured is optimised as a whole.
bench bench-qemu bench-start: export ORBITAL_LTO = 1

bench: setup ## Criterion benchmarks; writes the table of docs/performance.md
	@$(CARGO) bench --package log-store
	@$(CARGO) bench --package host-wasm --bench system
	@$(CARGO) run --quiet --profile bench --package host-wasm --example performance_table

bench-core: setup setup-test ## Instructions of call + reply_receive through kernel and Axiom on the bare target
	@axiom/bench-core/count

bench-qemu: setup setup-qemu ## Instructions of system calls between address spaces, in QEMU; a table
	@$(CARGO) run --quiet --package qemu --example bench

bench-start: setup setup-qemu ## From the start of QEMU to the first line and the prompt; a table
	@$(CARGO) run --quiet --package qemu --example start

lint: setup ## Formatting and clippy, on this machine's target and on those of the images
	@for workspace in . boot/disk fuzz services/storage/engines-bench; do (cd $$workspace && $(CARGO) fmt --check) || exit 1; done
	@$(CARGO) clippy --workspace --all-targets -- -D warnings
	@images=$$($(CARGO) run --quiet --package images -- --list | sed 's/^/--package /') && \
	    $(CARGO) clippy --target x86_64-unknown-none --package boot --package native-guests --package hostile $$images -- -D warnings && \
	    $(CARGO) clippy --target wasm32-unknown-unknown --package guests --package hostile $$images -- -D warnings
	@cd fuzz && $(CARGO) clippy -- -D warnings

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

setup-qemu:
	@command -v qemu-system-x86_64 >/dev/null || \
	    { echo "orbital: there is no QEMU; install it (Debian: apt-get install qemu-system-x86 ovmf)" >&2; exit 1; }

# The bootloader of a disk image is built from source, with what it needs of the standard library.
setup-image:
	@if command -v rustup >/dev/null; then \
	    for component in rust-src llvm-tools; do \
	        rustup component list --installed | grep -q "^$$component" || rustup component add $$component || \
	            { echo "orbital: disk images need $$component; try: rustup component add $$component" >&2; exit 1; }; \
	    done; \
	fi

# The tests in QEMU need it and the firmware for UEFI, the instruction counts need valgrind, the app in C clang,
# the log's what others wrote to check it.
setup-test:
	@{ command -v qemu-system-x86_64 >/dev/null && ls /usr/share/OVMF/OVMF_CODE*.fd >/dev/null 2>&1; } || \
	    { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get -qq update && apt-get -qq install -y qemu-system-x86 ovmf >/dev/null; } || \
	    command -v qemu-system-x86_64 >/dev/null || \
	    { echo "orbital: tests run in QEMU; install it (Debian: apt-get install qemu-system-x86 ovmf)" >&2; exit 1; }
	@command -v valgrind >/dev/null || \
	    { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get -qq update && apt-get -qq install -y valgrind >/dev/null; } || \
	    { echo "orbital: instructions are counted with valgrind; install it (Debian: apt-get install valgrind)" >&2; exit 1; }
	@{ command -v clang >/dev/null && command -v wasm-ld >/dev/null; } || \
	    { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get -qq update && apt-get -qq install -y clang lld >/dev/null; } || \
	    { echo "orbital: an app in C is built with clang and lld; install them (Debian: apt-get install clang lld)" >&2; exit 1; }
	@axiom/store/tests/outsiders/install >/dev/null

# libFuzzer is C++, built from source.
setup-fuzz:
	@command -v c++ >/dev/null || \
	    { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get -qq update && apt-get -qq install -y g++ >/dev/null; } || \
	    { echo "orbital: libFuzzer is built with a C++ compiler; install g++ (Debian: apt-get install g++)" >&2; exit 1; }

setup-miri:
	@$(CARGO) +nightly miri --version >/dev/null 2>&1 || \
	    { echo "orbital: there is no Miri; install it: rustup toolchain install nightly --component miri,rust-src" >&2; exit 1; }

clean: ## Remove what was built
	@$(CARGO) clean

help: ## This list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18
