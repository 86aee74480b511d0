# realtime: a realtime server inside PostgreSQL
#
#   make demo         a private cluster with the extension, ready to connect to
#   make check        every test there is
#   make              build, make install to install into the server of PG_CONFIG
#   make bench        the benchmark, as a table
#
# demo, check, bench and faults install through apt what is missing; the rest assumes that it is there.

MODULE_big = realtime
EXTENSION = realtime
DATA = $(wildcard sql/realtime--*.sql)

OBJS = $(patsubst %.c,%.o,$(sort $(wildcard src/*.c src/*/*.c)))

PG_CFLAGS = -std=gnu11 -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers -Werror=implicit-function-declaration
# clang does not know some options and the printf attribute of a server that was configured with gcc.
PG_CFLAGS += $(if $(findstring clang,$(CC)),-Wno-unknown-warning-option -Wno-ignored-optimization-argument -Wno-ignored-attributes)
PG_CPPFLAGS = -Isrc
# Calls within the library stay there, whatever the server or another library exports under the same name.
SHLIB_LINK = -Wl,-Bsymbolic -lwebsockets -luv -lssl -lcrypto

# PostgreSQL 15 is the test bed; PG_CONFIG chooses another.
PG_CONFIG ?= $(firstword $(wildcard /usr/lib/postgresql/15/bin/pg_config) pg_config)
PGXS := $(wildcard $(shell $(PG_CONFIG) --pgxs 2>/dev/null))

# The targets that drive others don't read the server's makefiles, which may not be installed yet.
DRIVERS = demo demo-stop check check-installed check-versions asan check-unit check-regress check-e2e e2e-modules lint fuzz coverage format bench run-bench faults run-faults built-and-installed
ifneq ($(filter-out $(DRIVERS) packages-% run-fuzz-%,$(or $(MAKECMDGOALS),all)),)

ifeq ($(PGXS),)
$(error no PostgreSQL server headers found by $(PG_CONFIG): install postgresql-server-dev-15 or set PG_CONFIG)
endif
EXTRA_CLEAN = build $(OBJS:.o=.d)
include $(PGXS)
-include $(OBJS:.o=.d)
override CFLAGS += -MMD -MP

else

include $(wildcard sql/regress.mk test/*/*.mk)

SUDO = $(if $(shell test -w "$$($(PG_CONFIG) --pkglibdir)" && echo yes),,sudo)

packages-%:
	@test/tools/packages.sh $*

# Build with as many jobs as there are cores, then install, through sudo if need be.
built-and-installed:
	@$(MAKE) --no-print-directory -s -j$$(nproc) all
	@$(SUDO) $(MAKE) --no-print-directory -s install

demo: packages-demo
	@$(MAKE) --no-print-directory built-and-installed
	@PG_CONFIG=$(PG_CONFIG) PORT=$(PORT) PGPORT=$(PGPORT) test/tools/demo.sh start

demo-stop:
	@PG_CONFIG=$(PG_CONFIG) test/tools/demo.sh stop

# PG_CONFIG may name a program that only now gets installed: each step is a make of its own.
check: packages-check
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory built-and-installed
	@$(MAKE) --no-print-directory check-installed

# What make check tests, of what is installed in the server of PG_CONFIG.
check-installed:
	@$(MAKE) --no-print-directory check-unit
	@$(MAKE) --no-print-directory check-regress
	@$(MAKE) --no-print-directory check-e2e

check-regress:
	@PG_CONFIG=$(PG_CONFIG) test/tools/regress.sh $(REGRESS)

# Builds without a warning and passes every test, on the Debian that has each version: see test/versions/versions.sh.
VERSIONS ?= 15 17 18
check-versions: packages-versions
	@PG_CONFIG=$(PG_CONFIG) test/versions/versions.sh $(VERSIONS)

# Every test with the extension and a server that are built with sanitizers: see test/asan/asan.sh.
asan: packages-asan
	@test/asan/asan.sh

lint:
	@test/tools/lint.sh

format:
	clang-format -i $$(git ls-files '*.c' '*.h')

bench: packages-check
	@$(MAKE) --no-print-directory built-and-installed
	@$(MAKE) --no-print-directory run-bench

faults: packages-check
	@$(MAKE) --no-print-directory built-and-installed
	@$(MAKE) --no-print-directory run-faults

.PHONY: $(DRIVERS)

endif
