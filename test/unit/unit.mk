# Unit tests of src/wire (no server needed) and its fuzz targets.
#
#   make check-unit               build and run all, under the address and undefined-behaviour sanitizers
#   make fuzz FUZZ_SECONDS=60     libFuzzer, that long for each target; needs clang
#   make coverage                 lines of src/wire that the committed seeds reach; fails below COVERAGE_PERCENT;
#                                 COVERAGE_FLAGS=-v lists the lines that they don't reach
#
# Everything made goes into build/.

UNIT_DIR = build/unit
FUZZ_DIR = build/fuzz
FUZZ_SECONDS ?= 60
FUZZ_JOBS ?= $(shell nproc)
FUZZ_CC ?= clang
COVERAGE_DIR = build/coverage
COVERAGE_PERCENT ?= 95
COVERAGE_FLAGS ?=

UNIT_TESTS = $(sort $(basename $(notdir $(wildcard test/unit/test_*.c))))
FUZZ_TARGETS = $(sort $(patsubst fuzz_%,%,$(basename $(notdir $(wildcard test/fuzz/fuzz_*.c)))))

WIRE_SOURCES = $(wildcard src/wire/*.c)
WIRE_HEADERS = $(wildcard src/wire/*.h)
WIRE_CFLAGS = -std=gnu11 -g -Isrc -Wall -Wextra -Werror -Wmissing-prototypes -fno-omit-frame-pointer
WIRE_OBJECTS = $(WIRE_SOURCES:src/wire/%.c=$(UNIT_DIR)/wire/%.o)
COVERAGE_OBJECTS = $(WIRE_SOURCES:src/wire/%.c=$(COVERAGE_DIR)/wire/%.o)
UNIT_SANITIZE ?= -fsanitize=address,undefined -fno-sanitize-recover=all

.PHONY: check-unit fuzz coverage
.SECONDARY: $(WIRE_OBJECTS) $(COVERAGE_OBJECTS)

check-unit: $(UNIT_TESTS:%=$(UNIT_DIR)/%)
	@failed=0; for test in $^; do $$test || failed=1; done; exit $$failed

$(UNIT_DIR)/wire/%.o: src/wire/%.c $(WIRE_HEADERS)
	@mkdir -p $(@D)
	$(CC) $(WIRE_CFLAGS) -O1 $(UNIT_SANITIZE) -c -o $@ $<

$(UNIT_DIR)/%: test/unit/%.c $(wildcard test/unit/*.h) $(WIRE_OBJECTS)
	@mkdir -p $(@D)
	$(CC) $(WIRE_CFLAGS) -O1 $(UNIT_SANITIZE) -o $@ $(filter %.c %.o,$^) -lcmocka -lcrypto -lm

# One core for each target; what a run finds out goes into build/, the committed seeds stay as they are.
fuzz: packages-check $(FUZZ_TARGETS:%=$(FUZZ_DIR)/fuzz_%)
	@$(MAKE) --no-print-directory -s -j$(FUZZ_JOBS) $(FUZZ_TARGETS:%=run-fuzz-%)

run-fuzz-%:
	@mkdir -p $(FUZZ_DIR)/corpus/$*
	@$(FUZZ_DIR)/fuzz_$* -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=1024 \
		-max_len=8192 -artifact_prefix=$(FUZZ_DIR)/$*- -print_final_stats=1 \
		$(FUZZ_DIR)/corpus/$* test/fuzz/corpus/$* >$(FUZZ_DIR)/$*.log 2>&1 || \
		{ tail -n 40 $(FUZZ_DIR)/$*.log; exit 1; }
	@echo "fuzz_$*: $$(sed -n 's/^stat::number_of_executed_units: *//p' $(FUZZ_DIR)/$*.log) runs, no fault"

$(FUZZ_DIR)/fuzz_%: test/fuzz/fuzz_%.c test/fuzz/fuzz.h $(WIRE_SOURCES) $(WIRE_HEADERS)
	@mkdir -p $(@D)
	$(FUZZ_CC) $(WIRE_CFLAGS) -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
		-o $@ $< $(WIRE_SOURCES) -lcrypto -lm

# Counts begin anew with each run. The programs share the object files of src/wire, and so their counts.
coverage: packages-check $(FUZZ_TARGETS:%=$(COVERAGE_DIR)/fuzz_%)
	@rm -f $(COVERAGE_DIR)/wire/*.gcda
	@for target in $(FUZZ_TARGETS); do $(COVERAGE_DIR)/fuzz_$$target test/fuzz/corpus/$$target || exit 1; done
	@test/tools/coverage.sh $(COVERAGE_FLAGS) $(COVERAGE_DIR)/wire $(COVERAGE_PERCENT)

$(COVERAGE_DIR)/wire/%.o: src/wire/%.c $(WIRE_HEADERS)
	@mkdir -p $(@D)
	$(CC) $(WIRE_CFLAGS) -O0 -w --coverage -c -o $@ $<

$(COVERAGE_DIR)/fuzz_%: test/fuzz/fuzz_%.c test/fuzz/replay.c test/fuzz/fuzz.h $(COVERAGE_OBJECTS)
	@mkdir -p $(@D)
	$(CC) $(WIRE_CFLAGS) -O0 -o $@ $(filter %.c %.o,$^) -lgcov -lcrypto -lm
