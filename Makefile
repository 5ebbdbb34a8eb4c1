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

OPT ?= -O2
WARN := -Wall -Wextra -Werror -Wshadow -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes \
	-Wvla -Wwrite-strings -Wformat=2 -Wundef
HARDEN := $(if $(SAN),,-D_FORTIFY_SOURCE=2) -fstack-protector-strong -fPIE
SANFLAGS := $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer)
CPPFLAGS += -I. -D_GNU_SOURCE -DSMIMED_VERSION='"$(VERSION)"' -DSMIMED_CONF='"$(SYSCONFDIR)/smimed/smimed.conf"'
CFLAGS += -std=c11 -g $(OPT) $(WARN) $(HARDEN) $(SANFLAGS) -pthread
LDFLAGS += -pie -Wl,-z,relro,-z,now $(SANFLAGS) -pthread
LDLIBS := -lssl -lcrypto -lidn2
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
.PHONY: all help demo run check unit clean install uninstall deps

all: $(programs) ## build smimed and smimectl

help: ## print this list
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/\1\t\2/p' Makefile | expand -t 16

# ---- building --------------------------------------------------------------------------------

flags := $(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS)
$(BUILD)/flags: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(subst ','\'',$(flags))' | cmp -s - $@ || printf '%s\n' '$(subst ','\'',$(flags))' > $@
FORCE:

$(BUILD)/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

define folder_rule
$(BUILD)/$(1).a: $(call objects,$(1))
	@rm -f $$@
	$$(AR) rcs $$@ $$^
endef
$(foreach f,$(present),$(eval $(call folder_rule,$(f))))

$(BUILD)/smimed: $(call objects,milter) $(libs)
	$(CC) $(LDFLAGS) -o $@ $(call objects,milter) -Wl,--start-group $(libs) -Wl,--end-group $(LDLIBS_milter) $(LDLIBS)

$(BUILD)/smimectl: $(call objects,ctl) $(libs)
	$(CC) $(LDFLAGS) -o $@ $(call objects,ctl) -Wl,--start-group $(libs) -Wl,--end-group $(LDLIBS)

# ---- unit tests: tests/unit/FOLDER/test_NAME.c, linked with FOLDER and the floors below ------------

unit_sources := $(wildcard tests/unit/*/test_*.c)
# make unit T=mime runs one folder's tests.
T ?=
unit_chosen := $(if $(T),$(filter $(addprefix tests/unit/,$(addsuffix /%,$(T))),$(unit_sources)),$(unit_sources))
unit_programs := $(patsubst %.c,$(BUILD)/%,$(unit_chosen))

define unit_rule
$(BUILD)/tests/unit/$(1)/test_%: $(BUILD)/tests/unit/$(1)/test_%.o $(patsubst %,$(BUILD)/%.a,$(call below,$(1)))
	$$(CC) $$(LDFLAGS) -o $$@ $$< -Wl,--start-group $$(filter %.a,$$^) -Wl,--end-group -lcmocka $$(LDLIBS)
endef
$(foreach f,$(folders),$(eval $(call unit_rule,$(f))))

unit: $(unit_programs) ## run the unit tests (T=folder for one folder)
	@failed=0; for t in $(unit_programs); do echo "== $$t"; $$t || failed=1; done; exit $$failed

clean: ## remove what was built
	rm -rf build

-include $(wildcard $(BUILD)/*/*.d $(BUILD)/tests/*/*/*.d)
