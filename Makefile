# smimed: one makefile, not recursive. `make help` prints what there is.

VERSION := 0.1.0
PREFIX ?= /usr/local
DESTDIR ?=
SYSCONFDIR ?= $(if $(filter /usr,$(PREFIX)),/etc,$(PREFIX)/etc)
UNITDIR ?= $(if $(filter /usr,$(PREFIX)),/lib,$(PREFIX)/lib)/systemd/system

CC ?= gcc
ifeq ($(origin CC),default)
CC := gcc
endif
SAN ?=
comma := ,
san_tag := $(if $(SAN),-$(subst $(comma),-,$(SAN)))
cc_tag := $(if $(filter clang%,$(CC)),-clang)
BUILD ?= build/out$(cc_tag)$(san_tag)

# V=1 shows whole command lines.
V ?=
q := $(if $(V),,@)
say = $(if $(V),@:,@printf '  %-4s %s\n')

OPT ?= -O2
WARN := -Wall -Wextra -Werror -Wshadow -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes \
	-Wvla -Wwrite-strings -Wformat=2 -Wundef
HARDEN := $(if $(SAN),,-D_FORTIFY_SOURCE=2) -fstack-protector-strong -fPIE
SANFLAGS := $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer)
CPPFLAGS += -I. -D_GNU_SOURCE -DSMIMED_VERSION='"$(VERSION)"'
# Where things are installed: known to the two doors alone, so that another PREFIX rebuilds little.
PATHS := -DSMIMED_CONF='"$(SYSCONFDIR)/smimed/smimed.conf"' -DSMIMED_SHARE='"$(PREFIX)/share/smimed"'
CFLAGS += -std=c11 -g $(OPT) $(WARN) $(HARDEN) $(SANFLAGS) -pthread
LDFLAGS += -pie -Wl,--as-needed,-z,relro,-z,now $(SANFLAGS) -pthread
LDLIBS := -lssl -lcrypto -lidn2 -lunistring -lhiredis -lcurl -lsqlite3 -lldap -llber
LDLIBS_milter := -lmilter

# Folders from the top floor to the ground (docs/LAYERS).
folders := flow directory smime pki policy cache mime conf util
sources = $(wildcard $(1)/*.c)
objects = $(patsubst %.c,$(BUILD)/%.o,$(call sources,$(1)))
present := $(foreach f,$(folders),$(if $(call sources,$(f)),$(f)))
libs := $(patsubst %,$(BUILD)/%.a,$(present))
# The libraries of a folder and of all below it, for its unit tests.
below = $(if $(filter $(1),$(present)),$(shell echo '$(present)' | sed 's/.*\b$(1)\b/$(1)/'),$(present))

programs := $(if $(wildcard milter/main.c),$(BUILD)/smimed) $(if $(wildcard ctl/main.c),$(BUILD)/smimectl)

.DEFAULT_GOAL := all
.SECONDARY:
.DELETE_ON_ERROR:
.PHONY: all help demo run check unit clean install uninstall deps FORCE

all: $(programs) ## build smimed and smimectl

help: ## print this list
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/\1\t\2/p' Makefile | expand -t 16

# ---- building --------------------------------------------------------------------------------

flags := $(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS)
paths := $(PATHS)
# What was built with other flags is built again.
$(BUILD)/flags $(BUILD)/paths: $(BUILD)/%: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(subst ','\'',$($*))' | cmp -s - $@ || printf '%s\n' '$(subst ','\'',$($*))' > $@
FORCE:

$(call objects,ctl) $(BUILD)/milter/main.o: $(BUILD)/paths
$(call objects,ctl) $(BUILD)/milter/main.o: CPPFLAGS += $(PATHS)

$(BUILD)/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(say) CC $@
	$(q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

define folder_rule
$(BUILD)/$(1).a: $(call objects,$(1))
	@rm -f $$@
	$$(say) AR $$@
	$$(q)$$(AR) rcs $$@ $$^
endef
$(foreach f,$(present),$(eval $(call folder_rule,$(f))))

$(BUILD)/smimed: $(call objects,milter) $(libs)
	$(say) LD $@
	$(q)$(CC) $(LDFLAGS) -o $@ $(call objects,milter) -Wl,--start-group $(libs) -Wl,--end-group $(LDLIBS_milter) $(LDLIBS)

$(BUILD)/smimectl: $(call objects,ctl) $(libs)
	$(say) LD $@
	$(q)$(CC) $(LDFLAGS) -o $@ $(call objects,ctl) -Wl,--start-group $(libs) -Wl,--end-group $(LDLIBS)

# ---- unit tests: tests/unit/FOLDER/test_NAME.c, linked with FOLDER and the floors below ------------

unit_sources := $(wildcard tests/unit/*/test_*.c)
# make unit T=mime runs one folder's tests.
T ?=
unit_chosen := $(if $(T),$(filter $(addprefix tests/unit/,$(addsuffix /%,$(T))),$(unit_sources)),$(unit_sources))
unit_programs := $(patsubst %.c,$(BUILD)/%,$(unit_chosen))

define unit_rule
$(BUILD)/tests/unit/$(1)/test_%: $(BUILD)/tests/unit/$(1)/test_%.o $(patsubst %,$(BUILD)/%.a,$(call below,$(1)))
	$$(say) LD $$@
	$$(q)$$(CC) $$(LDFLAGS) -o $$@ $$< -Wl,--start-group $$(filter %.a,$$^) -Wl,--end-group -lcmocka $$(LDLIBS) -lm
endef
$(foreach f,$(folders),$(eval $(call unit_rule,$(f))))

# The two doors are programs; for their tests all but main.o is an archive, so that a test links what it needs.
define door_rule
$(BUILD)/tests/$(1)-door.a: $(filter-out $(BUILD)/$(1)/main.o,$(call objects,$(1)))
	@mkdir -p $$(@D) && rm -f $$@
	$$(say) AR $$@
	$$(q)$$(AR) rcs $$@ $$^
$(BUILD)/tests/unit/$(1)/test_%: $(BUILD)/tests/unit/$(1)/test_%.o $(BUILD)/tests/$(1)-door.a $(libs)
	$$(say) LD $$@
	$$(q)$$(CC) $$(LDFLAGS) -o $$@ $$< -Wl,--start-group $$(filter %.a,$$^) -Wl,--end-group -lcmocka $$(LDLIBS_milter) $$(LDLIBS)
endef
$(foreach f,milter ctl,$(eval $(call door_rule,$(f))))

unit: $(unit_programs) ## run the unit tests (T=folder for one folder)
	@failed=0; for t in $(unit_programs); do echo "== $$t"; $$t || failed=1; done; exit $$failed

# Are all failures of decryption alike in time? 10,000 of each, taking turns: some minutes on a quiet machine.
TIMINGS ?= 10000
timing: $(BUILD)/tests/unit/flow/test_timing ## compare the times of failures of decryption (Welch's t); TIMINGS=10000
	@SMIMED_TIMINGS=$(TIMINGS) $<
.PHONY: timing

# ---- checks ----------------------------------------------------------------------------------

SMIMED_CORPORA ?= $(wildcard ../shared/corpora)
export SMIMED_CORPORA
# Root is needed for Postfix alone; make check says so and uses sudo where there is one.
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo -E)
PARTS ?=

# SAN=address,undefined or SAN=thread builds and tests with that sanitizer, in a build folder of its own.
check: ## install what is missing, build, run every test; PARTS="checks unit scenario e2e threads" chooses
	@[ "$$(id -u)" = 0 ] || echo "make check: installing packages and the private Postfix need root: using sudo"
	@tests/deps.sh check
	+@$(MAKE) --no-print-directory all test-programs
	@$(SUDO) env SMIMED_CORPORA='$(SMIMED_CORPORA)' SMIMED_PATIENCE='$(if $(SAN),4,1)' SAN='$(SAN)' \
		/usr/bin/python3 tests/run.py $(BUILD) $(PARTS)

.PHONY: test-programs
# The replays of the fuzz targets are for the checks; of the folders with one thread the thread sanitizer runs nothing (tests/run.py).
replays := $(patsubst tests/fuzz/%.c,$(BUILD)/tests/fuzz/%-replay,$(wildcard tests/fuzz/fuzz_*.c))
unthreaded := $(if $(filter thread,$(SAN)),$(foreach f,conf mime policy smime,tests/unit/$(f)/%))
test-programs: $(BUILD)/tests/checks/print_conf $(patsubst %.c,$(BUILD)/%,$(filter-out $(unthreaded),$(unit_sources))) \
	$(if $(PARTS),$(if $(filter checks,$(PARTS)),$(replays)),$(replays))

# What comes from the parameter table: conf/smimed.conf and docs/smimed.conf.5.
$(BUILD)/tests/checks/print_conf: $(BUILD)/tests/checks/print_conf.o $(BUILD)/conf.a $(BUILD)/util.a
	$(say) LD $@
	$(q)$(CC) $(LDFLAGS) -o $@ $< $(BUILD)/conf.a $(BUILD)/util.a $(LDLIBS)

docs: $(BUILD)/tests/checks/print_conf ## write what comes from the parameter table: sample and smimed.conf(5)
	$(BUILD)/tests/checks/print_conf sample > conf/smimed.conf
	$(BUILD)/tests/checks/print_conf manual > docs/smimed.conf.5
.PHONY: docs

deps: ## install what building needs
	@tests/deps.sh build

# A fuzz target as a plain program that runs every file of a folder once: part of make check.
$(BUILD)/tests/fuzz/%-replay: tests/fuzz/%.c tests/fuzz/replay.c $(libs) $(BUILD)/flags
	@mkdir -p $(@D)
	$(say) LD $@
	$(q)$(CC) $(CPPFLAGS) $(CFLAGS) -Wno-missing-prototypes $(LDFLAGS) -o $@ tests/fuzz/$*.c tests/fuzz/replay.c -Wl,--start-group $(libs) -Wl,--end-group $(LDLIBS)

# make fuzz TIME=60: each target with libFuzzer and sanitizers for that many seconds.
TIME ?= 60
fuzz_build := build/fuzz
fuzz_targets := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
fuzz: ## fuzz every parser for TIME seconds each (libFuzzer); F=fuzz_name for one
	@tests/deps.sh check
	+@$(MAKE) --no-print-directory BUILD=$(fuzz_build) CC=clang SAN=address,undefined,fuzzer-no-link OPT='-O1' fuzz-programs
	@found=0; for f in $(if $(F),$(F),$(fuzz_targets)); do n=$${f#fuzz_}; \
		mkdir -p $(fuzz_build)/corpus/$$n tests/fuzz/seeds/$$n; \
		echo "== $$f"; \
		$(fuzz_build)/tests/fuzz/$$f -max_total_time=$(TIME) -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
			-artifact_prefix=$(fuzz_build)/ $$([ -f tests/fuzz/$$n.dict ] && echo -dict=tests/fuzz/$$n.dict) \
			$(fuzz_build)/corpus/$$n tests/fuzz/seeds/$$n >$(fuzz_build)/$$f.log 2>&1 || { echo "FOUND: $$f"; found=1; }; \
		tail -12 $(fuzz_build)/$$f.log; done; exit $$found
.PHONY: fuzz fuzz-programs
fuzz-programs: $(patsubst %,$(fuzz_build)/tests/fuzz/%,$(fuzz_targets))
$(fuzz_build)/tests/fuzz/fuzz_%: tests/fuzz/fuzz_%.c $(libs) $(BUILD)/flags
	@mkdir -p $(@D)
	clang $(CPPFLAGS) $(filter-out -fsanitize=%,$(CFLAGS)) -Wno-missing-prototypes -fsanitize=address,undefined,fuzzer $(LDFLAGS) \
		-o $@ $< -Wl,--start-group $(libs) -Wl,--end-group $(LDLIBS)

# ---- benchmark: docs/performance.md says what the figures mean ------------------------------------

bench_own := $(patsubst tests/bench/%.c,$(BUILD)/tests/bench/%,$(wildcard tests/bench/bench_*.c))
bench_programs := $(bench_own) $(BUILD)/tests/bench/bare $(BUILD)/tests/bench/mload
# BENCH=quick: a minute, for development; its figures scatter more.
BENCH ?=
bench: ## measure: primitives, smimed, peers; prints a table, writes build/bench.json (BENCH=quick)
	@[ "$$(id -u)" = 0 ] || echo "make bench: installing packages and the private Postfix need root: using sudo"
	@tests/deps.sh bench
	+@$(MAKE) --no-print-directory all $(bench_programs)
	@$(SUDO) env SMIMED_BUILD='$(abspath $(BUILD))' BENCH='$(BENCH)' /usr/bin/python3 tests/bench/run.py $(PARTS)
.PHONY: bench bench-programs
bench-programs: $(bench_programs)

$(bench_own): $(BUILD)/tests/bench/%: $(BUILD)/tests/bench/%.o $(libs)
	$(say) LD $@
	$(q)$(CC) $(LDFLAGS) -o $@ $< -Wl,--start-group $(libs) -Wl,--end-group $(LDLIBS)
$(BUILD)/tests/bench/mload: $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/bench/mload*.c))
	$(say) LD $@
	$(q)$(CC) $(LDFLAGS) -o $@ $^
$(BUILD)/tests/bench/bare: $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/bench/bare*.c)) $(BUILD)/milter/socket.o $(BUILD)/mime.a $(BUILD)/util.a
	$(say) LD $@
	$(q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS_milter) $(LDLIBS)

lint: ## clang-tidy and cppcheck over the sources
	@for f in $(folders) milter ctl; do ls $$f/*.c 2>/dev/null; done | xargs -r -P2 -n8 \
		clang-tidy --quiet --checks='-*,clang-analyzer-*,bugprone-*,-bugprone-easily-swappable-parameters,-bugprone-reserved-identifier,-clang-analyzer-security.insecureAPI.DeprecatedOrUnsafeBufferHandling' \
		-- $(CPPFLAGS) $(PATHS) -std=c11
.PHONY: lint

# ---- trying it -------------------------------------------------------------------------------

demo: ## the main job, shown step by step on embedded defaults, in a scratch folder
	@[ "$$(id -u)" = 0 ] || echo "make demo: installing packages and the private Postfix need root: using sudo"
	@tests/deps.sh demo
	+@$(MAKE) --no-print-directory all
	@$(SUDO) env SMIMED_BUILD='$(abspath $(BUILD))' /usr/bin/python3 tests/e2e/demo.py

run: ## the same instance in the foreground, to try things by hand; Ctrl-C ends it
	@[ "$$(id -u)" = 0 ] || echo "make run: installing packages and the private Postfix need root: using sudo"
	@tests/deps.sh demo
	+@$(MAKE) --no-print-directory all
	@$(SUDO) env SMIMED_BUILD='$(abspath $(BUILD))' /usr/bin/python3 tests/e2e/demo.py --run

# ---- installing ------------------------------------------------------------------------------

SBINDIR := $(PREFIX)/sbin
MANDIR := $(PREFIX)/share/man
DOCDIR := $(PREFIX)/share/doc/smimed
docs_installed := README.md docs/architecture.md docs/operations.md docs/security.md docs/terms.md docs/log-fields.md docs/performance.md
examples := $(filter-out conf/smimed.service,$(wildcard conf/*.example conf/*.service))

install: all ## put everything below DESTDIR and PREFIX
	install -d $(DESTDIR)$(SBINDIR) $(DESTDIR)$(MANDIR)/man8 $(DESTDIR)$(MANDIR)/man5 $(DESTDIR)$(DOCDIR)/examples \
		$(DESTDIR)$(UNITDIR) $(DESTDIR)$(SYSCONFDIR)/smimed $(DESTDIR)$(PREFIX)/share/smimed/demo \
		$(DESTDIR)$(PREFIX)/share/smimed/notices
	install -m 644 conf/notices/*.txt $(DESTDIR)$(PREFIX)/share/smimed/notices
	install -m 755 $(BUILD)/smimed $(BUILD)/smimectl $(DESTDIR)$(SBINDIR)
	install -m 644 docs/smimed.8 docs/smimectl.8 $(DESTDIR)$(MANDIR)/man8
	install -m 644 docs/smimed.conf.5 $(DESTDIR)$(MANDIR)/man5
	install -m 644 tests/e2e/demo.py tests/e2e/harness.py $(DESTDIR)$(PREFIX)/share/smimed/demo
	install -m 644 $(docs_installed) $(DESTDIR)$(DOCDIR)
	install -m 644 conf/smimed.conf $(examples) $(DESTDIR)$(DOCDIR)/examples
	sed -e 's|@SBINDIR@|$(SBINDIR)|g' -e 's|@SYSCONFDIR@|$(SYSCONFDIR)|g' conf/smimed.service > $(DESTDIR)$(UNITDIR)/smimed.service
	[ -e $(DESTDIR)$(SYSCONFDIR)/smimed/smimed.conf ] || install -m 644 conf/smimed.conf $(DESTDIR)$(SYSCONFDIR)/smimed/smimed.conf

uninstall: ## take it away again; the configuration and its folder stay if they were changed
	rm -f $(DESTDIR)$(SBINDIR)/smimed $(DESTDIR)$(SBINDIR)/smimectl $(DESTDIR)$(MANDIR)/man8/smimed.8 \
		$(DESTDIR)$(MANDIR)/man8/smimectl.8 $(DESTDIR)$(MANDIR)/man5/smimed.conf.5 $(DESTDIR)$(UNITDIR)/smimed.service
	rm -rf $(DESTDIR)$(DOCDIR) $(DESTDIR)$(PREFIX)/share/smimed
	! cmp -s conf/smimed.conf $(DESTDIR)$(SYSCONFDIR)/smimed/smimed.conf || rm -f $(DESTDIR)$(SYSCONFDIR)/smimed/smimed.conf
	-rmdir $(DESTDIR)$(SYSCONFDIR)/smimed 2>/dev/null

clean: ## remove what was built
	rm -rf build

-include $(wildcard $(BUILD)/*/*.d $(BUILD)/tests/*/*.d $(BUILD)/tests/*/*/*.d)
