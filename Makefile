# SPDX-License-Identifier: MIT
# Couplet's one build file. `make` needs a C compiler and make; `make help` lists the targets.
#
# BUILD=release|debug|asan|tsan|fuzz chooses the kind of build, made in out/$(BUILD)/. CC may be gcc
# or clang. Sources are found by wildcard: a new file needs no change here.

BUILD ?= release
OUT := out/$(BUILD)
prefix ?= /usr/local
JOBS ?= $(shell nproc 2>/dev/null || echo 1)
Q := $(if $(V),,@)
VERSION := $(shell sed -n 's/.*define CPL_VERSION "\(.*\)"/\1/p' include/couplet/couplet.h)

CFLAGS_release := -O2 -g
CFLAGS_debug := -O1 -g -DCPL_DEBUG
CFLAGS_asan := $(CFLAGS_debug) -fsanitize=address,undefined -fno-sanitize-recover=all \
	-fno-omit-frame-pointer
CFLAGS_tsan := $(CFLAGS_debug) -fsanitize=thread
CFLAGS_fuzz := $(CFLAGS_asan) -fsanitize=fuzzer-no-link
ifeq ($(CFLAGS_$(BUILD)),)
$(error BUILD=$(BUILD): choose release, debug, asan, tsan or fuzz)
endif
ifeq ($(BUILD),fuzz)
CC := clang
endif
CFLAGS ?= $(CFLAGS_$(BUILD))

# What a missing library takes away says so at run time: its code is under #ifdef HAVE_...
have_pc = $(if $(shell pkg-config --exists $(1) 2>/dev/null && echo yes),$(1))
OPTIONAL := $(foreach l,libmnl jansson libbpf sqlite3 libpq ncursesw libxdp,$(call have_pc,$(l)))
# The programs for the kernel need clang and bpftool to be made, libbpf to be loaded.
CLANG ?= clang
BPFTOOL := $(shell PATH=$$PATH:/usr/sbin:/sbin command -v bpftool)
BPF_SRC := $(if $(BPFTOOL),$(shell command -v $(CLANG) >/dev/null && ls src/source/bpf/*.bpf.c 2>/dev/null))
OPTIONAL := $(if $(BPF_SRC),$(OPTIONAL),$(filter-out libbpf,$(OPTIONAL)))
LIB_DEFS := $(shell echo $(OPTIONAL:%=-DHAVE_%) | tr a-z A-Z) \
	$(if $(shell echo '\#include <http_parser.h>' | $(CC) -E - >/dev/null 2>&1 && echo yes),-DHAVE_HTTP_PARSER)
LIB_CFLAGS := $(if $(OPTIONAL),$(patsubst -I%,-isystem %,$(shell pkg-config --cflags-only-I $(OPTIONAL))))
LDLIBS := $(if $(OPTIONAL),$(filter-out -lpq,$(shell pkg-config --libs $(OPTIONAL)))) \
	$(if $(filter -DHAVE_HTTP_PARSER,$(LIB_DEFS)),-lhttp_parser) -lpthread -lm

# Every object may be part of what is loaded into another program; only what is marked for it is
# visible there.
COMPILE = $(CC) -std=gnu17 -Wall -Wextra -Werror -Iinclude -Isrc -I. -I$(OUT)/bpf $(LIB_DEFS) \
	$(LIB_CFLAGS) $(CPPFLAGS) -fPIC -fvisibility=hidden $(CFLAGS)
LINK := $(CC) $(CFLAGS) -Wl,--as-needed $(LDFLAGS)

# The library is floors 0 to 6; the command adds what looks at it.
LIB_DIRS := base trace wire loss cc ip tcp stack link host
LIB_SRC := $(sort $(wildcard $(LIB_DIRS:%=src/%/*.c)))
# A release compiles it as one source, which saves a sixth of its instructions: an open one for the
# command, which sees inside, a closed one for embedders. `make ONE=` does without.
ONE ?= $(if $(filter release,$(BUILD)),$(shell command -v python3))
ONE_SRC := $(if $(ONE),$(OUT)/open/couplet.c $(OUT)/closed/couplet.c)
OPEN_SRC := $(or $(filter %/open/couplet.c,$(ONE_SRC)),$(LIB_SRC))
CLOSED_SRC := $(or $(filter %/closed/couplet.c,$(ONE_SRC)),$(LIB_SRC))
TOOL_SRC := $(sort $(filter-out %/main.c,$(wildcard src/socket/*.c src/view/*.c src/source/*.c \
	src/shim/server*.c sim/*.c src/cli/*.c)))
# What other programs load: the symbols of LD_PRELOAD, and the plug-in of packetdrill.
SHIM_SRC := $(filter-out src/shim/server%,$(wildcard src/shim/*.c src/socket/*.c))
DRILL_SRC := $(wildcard src/packetdrill/*.c src/socket/*.c)
LOADED := $(OUT)/libcouplet-shim.so $(OUT)/libcouplet-packetdrill.so
UTIL_SRC := $(sort $(wildcard tests/util/*.c))
TEST_SRC := $(sort $(wildcard tests/*/test_*.c))
PEER_SRC := $(sort $(wildcard tests/interop/*.c))
EXAMPLE_SRC := $(sort $(wildcard examples/*.c))
BENCH_SRC := $(sort $(filter-out bench/peer.c,$(wildcard bench/*.c)))
SIM_TOOL_SRC := $(sort $(wildcard sim/tool/*.c))
FUZZ_SRC := $(sort $(wildcard tests/fuzz/fuzz_*.c))

obj = $(patsubst %.c,$(OUT)/obj/%.o,$(1))
TESTS := $(TEST_SRC:%.c=$(OUT)/%)
PEERS := $(PEER_SRC:%.c=$(OUT)/%)
EXAMPLES := $(EXAMPLE_SRC:%.c=$(OUT)/%)
BENCHES := $(BENCH_SRC:%.c=$(OUT)/%)
SIM_TOOLS := $(SIM_TOOL_SRC:sim/tool/%.c=$(OUT)/%)
FUZZERS := $(FUZZ_SRC:%.c=$(OUT)/%)
COMMAND := $(OUT)/couplet

all: $(COMMAND) $(OUT)/libcouplet.a $(LOADED) ## the command and the library, in out/$(BUILD)/
tests: $(TESTS) $(PEERS) $(FUZZERS) $(SIM_TOOLS)
examples: $(EXAMPLES)

# For embedders: one object, whose only global symbols are the public ones. The assert hook is weak,
# so that a program may bring its own.
$(OUT)/libcouplet.a: $(call obj,$(CLOSED_SRC)) $(OUT)/sources
	@echo "  AR    $@"
	$(Q)rm -f $@ && ld -r -o $(OUT)/couplet.o $(filter %.o,$^) && \
		objcopy --wildcard --keep-global-symbol='cpl_*' --weaken-symbol=cpl_assert_failed \
		$(OUT)/couplet.o && ar rcs $@ $(OUT)/couplet.o
$(ONE_SRC): $(OUT)/%/couplet.c: $(OUT)/sources tools/amalgamate tools/csource.py \
		$(wildcard $(LIB_DIRS:%=src/%/*) include/couplet/*)
	$(Q)tools/amalgamate --$* --lines $(@D)
$(call obj,$(ONE_SRC)): private CFLAGS += -O3 -fno-tree-slp-vectorize

# For the tests, which put things of their own in the place of some: every object apart.
$(OUT)/lib.a: $(call obj,$(LIB_SRC)) $(OUT)/sources
$(OUT)/tool.a: $(call obj,$(TOOL_SRC)) $(OUT)/sources
$(OUT)/util.a: $(call obj,$(UTIL_SRC)) $(OUT)/sources
$(OUT)/lib.a $(OUT)/tool.a $(OUT)/util.a:
	$(Q)rm -f $@ && ar qcs $@ $(filter %.o,$^)

# bench/mem.c measures what an embedder has.
EMBEDDERS := $(OUT)/bench/mem
PROGRAMS := $(COMMAND) $(SIM_TOOLS) $(PEERS) $(BENCHES) $(TESTS) $(FUZZERS)
$(COMMAND): $(OUT)/obj/src/cli/main.o
$(SIM_TOOLS): $(OUT)/%: $(OUT)/obj/sim/tool/%.o
$(PEERS) $(BENCHES) $(TESTS) $(FUZZERS): $(OUT)/%: $(OUT)/obj/%.o $(OUT)/util.a
$(TESTS) $(FUZZERS): $(OUT)/tool.a $(OUT)/lib.a
$(EMBEDDERS): $(OUT)/libcouplet.a
$(filter-out $(TESTS) $(FUZZERS) $(EMBEDDERS),$(PROGRAMS)): $(OUT)/tool.a $(call obj,$(OPEN_SRC))
$(PROGRAMS):
	@echo "  LINK  $@"
	$(Q)mkdir -p $(@D) && $(LINK) $(if $(filter fuzzfuzz%,$(BUILD)$(@F)),-fsanitize=fuzzer) -o $@ \
		-Wl,--start-group $^ -Wl,--end-group $(if $(filter $@,$(TESTS)),-lcmocka) $(LDLIBS)
ifneq ($(BUILD),fuzz) # without libFuzzer: a fixed cut of inputs
$(FUZZERS): $(OUT)/obj/tests/fuzz/replay.o
endif
# An example is built as an embedder builds: the public headers and the archive, nothing else.
$(EXAMPLES): $(OUT)/%: %.c $(OUT)/libcouplet.a $(OUT)/flags
	@echo "  CC    $@"
	$(Q)mkdir -p $(@D) && $(CC) -std=gnu17 -Wall -Wextra -Werror -Iinclude $(CFLAGS) $(LDFLAGS) \
		-MMD -MP -o $@ $< $(OUT)/libcouplet.a

$(OUT)/obj/%.o: %.c $(OUT)/flags
	@echo "  CC    $@"
	$(Q)mkdir -p $(@D) && $(COMPILE) -MMD -MP -c -o $@ $<

$(OUT)/libcouplet-shim.so: $(call obj,$(SHIM_SRC) $(OPEN_SRC))
$(OUT)/libcouplet-packetdrill.so: $(call obj,$(DRILL_SRC) $(OPEN_SRC))
$(OUT)/bench/libcouplet-peer.so: $(call obj,bench/peer.c $(CLOSED_SRC))
$(OUT)/%.so: $(OUT)/sources
	@echo "  LINK  $@"
	$(Q)mkdir -p $(@D) && $(LINK) -shared -o $@ $(filter %.o,$^) -ldl -lpthread

# A program for the kernel needs no kernel's headers (CO-RE); its loader includes "NAME.skel.h".
$(OUT)/bpf/%.skel.h: src/source/bpf/%.bpf.c $(wildcard src/source/bpf/*.h) $(OUT)/flags
	@echo "  BPF   $@"
	$(Q)mkdir -p $(@D) && $(CLANG) -std=gnu17 -g -O2 -Wall -Wextra -Werror -target bpf -mcpu=v3 -Isrc \
		-c -o $(@:.skel.h=.bpf.o) $< && $(BPFTOOL) gen skeleton $(@:.skel.h=.bpf.o) name $* >$@
$(call obj,$(wildcard src/source/*.c)): $(BPF_SRC:src/source/bpf/%.bpf.c=$(OUT)/bpf/%.skel.h)

# Rebuild when the compiler, a flag or the list of sources changes.
stamp = @mkdir -p $(@D); echo '$(1)' | cmp -s - $@ || echo '$(1)' >$@
$(OUT)/flags: FORCE
	$(call stamp,$(COMPILE) $(LDFLAGS) $(LDLIBS))
$(OUT)/sources: FORCE
	$(call stamp,$(ONE_SRC) $(LIB_SRC) $(TOOL_SRC) $(UTIL_SRC) $(SHIM_SRC) $(DRILL_SRC))
-include $(shell test -d $(OUT) && find $(OUT) -name '*.d')

RUN := $(Q)$(MAKE) --no-print-directory

# The build whose test programs `make check` runs: the address sanitizer's, or the BUILD given.
CHECK_BUILD := $(if $(filter command% environment%,$(origin BUILD)),$(BUILD),asan)
check: deps ## run all tests
	$(RUN) -j$(JOBS) BUILD=release all tests examples benches
	$(RUN) -j$(JOBS) BUILD=$(CHECK_BUILD) all tests
	$(Q)tests/run --build $(CHECK_BUILD)
demo: deps ## two connections, both control blocks of each
	$(RUN) -j$(JOBS) BUILD=release all
	$(Q)tools/demo out/release
quick-check: ## run the unit tests only
	$(RUN) -j$(JOBS) BUILD=debug tests
	$(Q)tests/run --build debug --part unit
lint: all $(OUT)/lib.a ## check the rules of the house
	$(Q)tools/lint --format --out $(OUT)
	$(Q)tools/sans-io $(OUT)
format: ## let clang-format-14 write the C sources
	clang-format-14 -i $$(find include src sim tests bench -name '*.[ch]' 2>/dev/null)

bench: deps ## run the benchmarks: QUICK=1, REPS=5, PEERS="NAME=FILE.so ..."
	$(RUN) -j$(JOBS) BUILD=release all benches
	$(Q)bench/table
benches: $(BENCHES) $(OUT)/bench/libcouplet-peer.so
FUZZ_SECONDS ?= 60
fuzz: deps ## run each fuzzer for FUZZ_SECONDS
	$(RUN) -j$(JOBS) BUILD=fuzz fuzzers
	$(Q)set -e; for f in $(FUZZ_SRC:tests/fuzz/%.c=%); do echo "$$f"; \
		mkdir -p out/corpus/$$f; seeds=tests/fuzz/corpus/$$f; [ -d $$seeds ] || seeds=; \
		out/fuzz/tests/fuzz/$$f -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1 \
			-artifact_prefix=out/corpus/$$f- out/corpus/$$f $$seeds; done
fuzzers: $(FUZZERS)

SEED ?= 1
seed: ## run the simulated network of SEED and say all
	$(RUN) -j$(JOBS) BUILD=$(CHECK_BUILD) out/$(CHECK_BUILD)/couplet-sim
	$(Q)out/$(CHECK_BUILD)/couplet-sim --seed $(SEED) -v
SOAK_SEEDS ?= 20000
soak: deps ## SOAK_SEEDS simulated networks, then the long form of the tests on this machine
	$(RUN) -j$(JOBS) BUILD=release all tests examples benches
	$(RUN) -j$(JOBS) BUILD=debug out/debug/tests/sim/test_seeds
	$(Q)SEEDS=1-$(SOAK_SEEDS) out/debug/tests/sim/test_seeds
	$(Q)SOAK=1 tests/run --build release --scale 100 --jobs 1 $(SOAK_PARTS:%=--part %)
SOAK_PARTS := sim interop socket shim pair doctor store stairs

packetdrill: all ## run packetdrill's scripts: PACKETDRILL=program SCRIPTS=its gtests/net/tcp
	$(Q)tools/packetdrill --packetdrill $(PACKETDRILL) --scripts $(SCRIPTS) \
		--plugin $(OUT)/libcouplet-packetdrill.so

docs: all ## regenerate what is made from the code and committed
	$(Q)tools/docs --out $(OUT)
amalgamation: ## write out/amalgamation/couplet.c and couplet.h
	$(Q)tools/amalgamate out/amalgamation

install: all ## install under DESTDIR and prefix
	install -d $(DESTDIR)$(prefix)/lib/pkgconfig $(DESTDIR)$(prefix)/include/couplet
	install -m 644 $(OUT)/libcouplet.a $(DESTDIR)$(prefix)/lib/
	install -m 644 include/couplet/* $(DESTDIR)$(prefix)/include/couplet/
	sed 's|@prefix@|$(prefix)|; s|@version@|$(VERSION)|' couplet.pc.in \
		>$(DESTDIR)$(prefix)/lib/pkgconfig/couplet.pc
	install -D $(COMMAND) $(DESTDIR)$(prefix)/bin/couplet
	install -D -t $(DESTDIR)$(prefix)/lib/couplet $(LOADED)
	install -D -t $(DESTDIR)$(prefix)/lib/couplet/packetdrill src/packetdrill/bin/*
	$(Q)set -e; for page in $(wildcard man/*.[1-8]); do \
		install -D -m 644 $$page $(DESTDIR)$(prefix)/share/man/man$${page##*.}/$${page##*/}; done

deps: ## install the Debian packages that the build and the tests use
	$(Q)tools/deps
clean: ## remove what was built
	rm -rf out
help: ## list the targets
	@echo "make [BUILD=release|debug|asan|tsan|fuzz] [CC=gcc|clang] [V=1] TARGET"
	@sed -n 's/^\([a-z-]*\):.* ## \(.*\)/  \1\t\2/p' Makefile | expand -t 16

FORCE:
.PHONY: all tests examples benches fuzzers check demo quick-check lint format bench fuzz seed soak \
	packetdrill docs amalgamation install deps clean help FORCE
.SECONDARY:
.DELETE_ON_ERROR:
