# realtime: a realtime server inside PostgreSQL
#
#   make demo         a private cluster with the extension, ready to connect to
#   make check        every test there is
#   make              build, make install to install into the server of PG_CONFIG
#   make bench        the benchmark, as a table
#
# demo, check and bench install through apt what is missing; the rest assumes that it is there.

MODULE_big = realtime
EXTENSION = realtime
DATA = $(wildcard sql/realtime--*.sql)

OBJS = $(patsubst %.c,%.o,$(sort $(wildcard src/*.c src/*/*.c)))

PG_CFLAGS = -std=gnu11 -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers -Werror=implicit-function-declaration
# clang does not know the printf attribute of server headers that were configured with gcc.
PG_CFLAGS += $(if $(findstring clang,$(CC)),-Wno-ignored-attributes)
PG_CPPFLAGS = -Isrc
SHLIB_LINK = -lwebsockets -luv -lcrypto

# PostgreSQL 15 is the test bed; PG_CONFIG chooses another.
PG_CONFIG ?= $(firstword $(wildcard /usr/lib/postgresql/15/bin/pg_config) pg_config)
PGXS := $(wildcard $(shell $(PG_CONFIG) --pgxs 2>/dev/null))

ifneq ($(PGXS),)
ifneq ($(filter-out demo demo-stop check bench packages-%,$(or $(MAKECMDGOALS),all)),)
include $(PGXS)
-include $(OBJS:.o=.d)
override CFLAGS += -MMD -MP
endif
else
all install:
	@echo "no PostgreSQL server headers found by $(PG_CONFIG): install postgresql-server-dev-15 or set PG_CONFIG" >&2; exit 1
endif

include $(wildcard sql/regress.mk test/*/*.mk)

EXTRA_CLEAN += build $(OBJS:.o=.d)

# ---------------------------------------------------------------- set-up

SUDO = $(if $(shell test -w "$$($(PG_CONFIG) --pkglibdir)" && echo yes),,sudo)

packages-%:
	@test/tools/packages.sh $*

# Build with as many jobs as there are cores, then install, through sudo if need be.
built-and-installed:
	@$(MAKE) --no-print-directory -j$$(nproc) all
	@$(SUDO) $(MAKE) --no-print-directory -s install

demo: packages-demo
	@$(MAKE) --no-print-directory -s built-and-installed
	@PG_CONFIG=$(PG_CONFIG) PORT=$(PORT) PGPORT=$(PGPORT) test/tools/demo.sh start

demo-stop:
	@PG_CONFIG=$(PG_CONFIG) test/tools/demo.sh stop

# ---------------------------------------------------------------- tests

check: packages-check
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory built-and-installed
	@$(MAKE) --no-print-directory check-unit
	@$(MAKE) --no-print-directory check-regress
	@$(MAKE) --no-print-directory check-e2e

check-regress:
	@PG_CONFIG=$(PG_CONFIG) test/tools/regress.sh $(REGRESS)

lint:
	@test/tools/lint.sh

format:
	clang-format -i $$(git ls-files '*.c' '*.h')

bench: packages-check
	@$(MAKE) --no-print-directory built-and-installed
	@$(MAKE) --no-print-directory run-bench

.PHONY: demo demo-stop check check-regress lint format bench built-and-installed
