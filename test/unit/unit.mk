# Unit tests of src/wire (no server needed) and its fuzz targets.
#
#   make check-unit               build and run all, under the address and undefined-behaviour sanitizers
#   make fuzz FUZZ_SECONDS=60     libFuzzer, that long for each target; needs clang
#
# Everything made goes into build/.

UNIT_DIR = build/unit
FUZZ_DIR = build/fuzz
FUZZ_SECONDS ?= 60
FUZZ_CC ?= clang

UNIT_TESTS = $(sort $(basename $(notdir $(wildcard test/unit/test_*.c))))
FUZZ_TARGETS = $(sort $(patsubst fuzz_%,%,$(basename $(notdir $(wildcard test/fuzz/fuzz_*.c)))))

WIRE_SOURCES = $(wildcard src/wire/*.c)
WIRE_HEADERS = $(wildcard src/wire/*.h)
WIRE_CFLAGS = -std=gnu11 -g -Isrc -Wall -Wextra -Werror -Wmissing-prototypes -fno-omit-frame-pointer
WIRE_OBJECTS = $(WIRE_SOURCES:src/wire/%.c=$(UNIT_DIR)/wire/%.o)
UNIT_SANITIZE ?= -fsanitize=address,undefined -fno-sanitize-recover=all

.PHONY: check-unit fuzz
.SECONDARY: $(WIRE_OBJECTS)

check-unit: $(UNIT_TESTS:%=$(UNIT_DIR)/%)
	@failed=0; for test in $^; do $$test || failed=1; done; exit $$failed

$(UNIT_DIR)/wire/%.o: src/wire/%.c $(WIRE_HEADERS)
	@mkdir -p $(@D)
	$(CC) $(WIRE_CFLAGS) -O1 $(UNIT_SANITIZE) -c -o $@ $<

$(UNIT_DIR)/%: test/unit/%.c $(wildcard test/unit/*.h) $(WIRE_OBJECTS)
	@mkdir -p $(@D)
	$(CC) $(WIRE_CFLAGS) -O1 $(UNIT_SANITIZE) -o $@ $(filter %.c %.o,$^) -lcmocka -lcrypto -lm

# One target at a time; what a run finds out goes into build/, the committed seeds stay as they are.
fuzz: $(FUZZ_TARGETS:%=$(FUZZ_DIR)/fuzz_%)
	@for target in $(FUZZ_TARGETS); do \
		mkdir -p $(FUZZ_DIR)/corpus/$$target; \
		$(FUZZ_DIR)/fuzz_$$target -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=1024 \
			-max_len=8192 -artifact_prefix=$(FUZZ_DIR)/$$target- -print_final_stats=1 \
			$(FUZZ_DIR)/corpus/$$target test/fuzz/corpus/$$target >$(FUZZ_DIR)/$$target.log 2>&1 || \
			{ tail -n 40 $(FUZZ_DIR)/$$target.log; exit 1; }; \
		echo "fuzz_$$target: $$(sed -n 's/^stat::number_of_executed_units: *//p' $(FUZZ_DIR)/$$target.log) runs, no fault"; \
	done

$(FUZZ_DIR)/fuzz_%: test/fuzz/fuzz_%.c test/fuzz/fuzz.h $(WIRE_SOURCES) $(WIRE_HEADERS)
	@mkdir -p $(@D)
	$(FUZZ_CC) $(WIRE_CFLAGS) -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
		-o $@ $< $(WIRE_SOURCES) -lcrypto -lm
