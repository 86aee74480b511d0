# The load generator and its run; `make bench` comes here once the extension is installed.
#
#   make bench                      all scenarios
#   make bench BENCH="fanout idle"  only these
#   make bench BENCH_QUICK=1        shorter ones
#   make bench BENCH_LISTENERS=2    with two listeners

BENCH_DIR = build/bench
BENCH_OBJS = $(patsubst test/bench/%.c,$(BENCH_DIR)/%.o,$(wildcard test/bench/*.c))
BENCH_CFLAGS = -std=gnu11 -D_GNU_SOURCE -O2 -g -Wall -Wextra -MMD -MP \
	-I$(shell $(PG_CONFIG) --includedir 2>/dev/null)
BENCH_LIBS = -L$(shell $(PG_CONFIG) --libdir 2>/dev/null) -lpq -lm

run-bench: $(BENCH_DIR)/loadgen
	@PG_CONFIG=$(PG_CONFIG) BENCH="$(BENCH)" BENCH_QUICK="$(BENCH_QUICK)" \
		BENCH_LISTENERS="$(BENCH_LISTENERS)" test/bench/run.sh $<

$(BENCH_DIR)/loadgen: $(BENCH_OBJS)
	@$(CC) $(BENCH_OBJS) -o $@ $(BENCH_LIBS)

$(BENCH_DIR)/%.o: test/bench/%.c
	@mkdir -p $(@D)
	@$(CC) $(BENCH_CFLAGS) -c $< -o $@

-include $(BENCH_OBJS:.o=.d)

.PHONY: run-bench
