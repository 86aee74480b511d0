#!/bin/bash
#
# Runs the benchmark against a private cluster and prints its table in
# Markdown; progress goes to standard error.
#
#     run.sh LOADGEN [options of the load generator]
#
#     BENCH="fanout idle"   only these scenarios (loadgen -h lists them)
#     BENCH_QUICK=1         shorter and smaller
#     BENCH_LISTENERS=2     listeners (default 1, for which the floors are meant)
#     BENCH_PGPORT, BENCH_PORT   ports (default: free ones)
#     BENCH_SETTINGS        further lines for postgresql.conf, separated by ";"
#
# Exit code 0 if all could be measured, whatever the figures; 1 if something broke.

set -eu

here=$(cd "$(dirname "$0")" && pwd)
instance=$here/../lib/instance.sh
loadgen=$(realpath "$1")
shift

# A scenario is bounded by itself; this is for what nobody has thought of.
run_seconds=1200

work=$(mktemp -d)
child=

cleanup()
{
	"$instance" destroy "$work/instance" >&2 || true
	rm -rf "$work"
}
trap cleanup EXIT
trap '[ -z "$child" ] || kill "$child"; exit 1' INT TERM

start_server()
{
	local arguments=(-l "${BENCH_LISTENERS:-1}") line

	# With the defaults the bulk loads would measure how fast WAL segments are made (see README.md).
	arguments+=(-c 'min_wal_size = 4GB' -c 'max_wal_size = 4GB')

	[ -z "${BENCH_PGPORT:-}" ] || arguments+=(-p "$BENCH_PGPORT")
	[ -z "${BENCH_PORT:-}" ] || arguments+=(-w "$BENCH_PORT")
	while IFS= read -r -d ';' line; do
		[ -z "$line" ] || arguments+=(-c "$line")
	done <<<"${BENCH_SETTINGS:-};;"
	"$instance" start "$work/instance" "${arguments[@]}" >"$work/instance.txt"
	# shellcheck disable=SC1091
	. "$work/instance.txt"

	# One connection sends all of a saturated topic; the limits of joins and messages aren't what is measured.
	"$instance" psql "$work/instance" -qAt -o /dev/null <<-'END'
		select format('alter system set %I = 1000000', name) from pg_settings
			where name in ('realtime.max_messages_per_second', 'realtime.max_joins_per_second', 'realtime.max_connects_per_second',
				'realtime.max_requests_per_second') \gexec
		select pg_reload_conf();
	END
	BENCH_TOKEN=$("$instance" psql "$work/instance" -qAtc "select realtime.issue_token('anon')")
	BENCH_PGBENCH=$("${PG_CONFIG:-pg_config}" --bindir)/pgbench
	export BENCH_TOKEN BENCH_PGBENCH
}

# What the figures were measured on.
describe_machine()
{
	echo "$(nproc) cores ($(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1))," \
		"Linux $(uname -r)," \
		"PostgreSQL $("$instance" psql "$work/instance" -qAtc 'show server_version')," \
		"min_wal_size $("$instance" psql "$work/instance" -qAtc 'show min_wal_size')," \
		"fsync $("$instance" psql "$work/instance" -qAtc 'show fsync')," \
		"${BENCH_LISTENERS:-1} listener(s), load generator beside the server, 128-byte payloads${BENCH_QUICK:+, quick run}"
	echo
}

ulimit -n "$(ulimit -Hn)"
start_server
describe_machine
# shellcheck disable=SC2086
timeout --kill-after=10 "$run_seconds" "$loadgen" ${BENCH_QUICK:+-q -i 3000 -c 3000} -w "$PORT" \
	-d "host=$PGHOST port=$PGPORT user=postgres dbname=postgres" "$@" ${BENCH:-} &
child=$!
wait "$child"
