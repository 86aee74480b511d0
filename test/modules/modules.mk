# Libraries that tests load into a server; each holds the sources under test, and SQL functions that drive them.
#
# Everything made goes into build/modules/.

MODULES_DIR = build/modules
# A server that was only copied somewhere has no headers beside it: those of the one in the path serve as well.
MODULES_HEADERS = $(dir $(firstword $(wildcard $(foreach program,$(PG_CONFIG) pg_config,$(shell $(program) --includedir-server 2>/dev/null)/postgres.h))))
MODULES_CFLAGS = -std=gnu11 -O2 -g -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers \
	-fPIC -Isrc -I$(MODULES_HEADERS)

check-e2e: $(MODULES_DIR)/claims_policy_test.so

CLAIMS_POLICY_SOURCES = $(filter-out %/authorizer.c %/message_policy.c %/policy_watch.c %/policy.c %/stored_messages.c,$(wildcard src/access/*.c))

$(MODULES_DIR)/claims_policy_test.so: test/modules/claims_policy_test.c $(CLAIMS_POLICY_SOURCES) $(wildcard src/access/*.h) src/shared/compat.h
	@mkdir -p $(@D)
	$(CC) $(MODULES_CFLAGS) -shared -Wl,-Bsymbolic -o $@ $(filter %.c,$^)
