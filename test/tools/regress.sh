#!/bin/bash
#
# Runs the regression tests, sql/NAME.sql against expected/NAME.out, with pg_regress on temporary servers
# of their own. The extension has to be installed. Tests that begin with bare_ run on a server that does not
# preload it.
#
#     regress.sh NAME...          run these tests, in this order
#     regress.sh -u NAME...       the same, then take over what they print as what is expected
#
# PG_CONFIG says which PostgreSQL. As root the servers run as an unprivileged user, in a copy of the files
# that this user can read.

set -u

top=$(cd "$(dirname "$0")/../.." && pwd)
. "$top/test/lib/instance.sh"

say()
{
	printf 'regress.sh: %s\n' "$*" >&2
}

# Does the server know this setting? Some are in the newer minor releases only.
server_knows()
{
	instance_as "$INSTANCE_BINDIR/postgres" --describe-config | grep "^$1"$'\t' >/dev/null
}

write_conf()
{
	cat >"$work/regress.conf" <<-END
		shared_preload_libraries = 'realtime'
		wal_level = logical
		max_replication_slots = 8
		max_worker_processes = 16
		max_prepared_transactions = 4
		fsync = off
		realtime.database = 'regression'
		realtime.port = $1
		realtime.jwt_secret = 'regression-test-secret-of-more-than-32-bytes'
	END
	if server_knows output_plugin_libraries; then
		echo "output_plugin_libraries = 'pgoutput, test_decoding, realtime'" >>"$work/regress.conf"
	fi
	cat >"$work/bare.conf" <<-END
		wal_level = replica
		fsync = off
	END
}

# Runs some tests on a new server: run_tests CONF NAME...
run_tests()
{
	local conf=$1 output=$work/${1%.conf}
	shift

	if [ $# = 0 ]; then
		return 0
	fi
	mkdir -p "$output"
	if [ "$(id -u)" = 0 ]; then
		chown "$INSTANCE_USER" "$output"
	fi
	# Tests may call the server's programs, such as pg_dump.
	if instance_as env PATH="$INSTANCE_BINDIR:$PATH" "$regress" --inputdir="$work" --outputdir="$output" --bindir="$INSTANCE_BINDIR" \
		--temp-instance="$output/tmp_check" --temp-config="$work/$conf" --encoding=UTF8 --no-locale \
		--dbname=regression "$@"; then
		return 0
	fi
	if [ -r "$output/regression.diffs" ]; then
		cat "$output/regression.diffs" >&2
	else
		tail -n 50 "$output/log/"*.log >&2
	fi
	return 1
}

update=
if [ "${1:-}" = -u ]; then
	update=1
	shift
fi
if [ $# = 0 ]; then
	say "usage: regress.sh [-u] NAME..."
	exit 2
fi

instance_find_postgres && instance_find_user || exit 1
pgxs=$("${PG_CONFIG:-pg_config}" --pgxs)
regress=${pgxs%/src/makefiles/pgxs.mk}/src/test/regress/pg_regress
if [ ! -x "$regress" ]; then
	say "there is no pg_regress at $regress: install the server's development package"
	exit 1
fi

port=$(instance_free_port "/proc/$$") || exit 1
work=$(mktemp -d "${TMPDIR:-/tmp}/realtime-regress.XXXXXX")
cp -r "$top/sql" "$top/expected" "$work"
if [ -n "$update" ]; then
	for name in "$@"; do
		touch "$work/expected/$name.out"
	done
fi
chmod -R a+rX "$work"
if [ "$(id -u)" = 0 ]; then
	chown -R "$INSTANCE_USER" "$work"
fi
write_conf "$port"

loaded=()
bare=()
for name in "$@"; do
	case $name in
		bare_*) bare+=("$name") ;;
		*) loaded+=("$name") ;;
	esac
done

status=0
run_tests regress.conf "${loaded[@]}" || status=1
run_tests bare.conf "${bare[@]}" || status=1
instance_release_port "$port" "/proc/$$"

if [ -n "$update" ]; then
	for name in "$@"; do
		cp "$work"/*/results/"$name.out" "$top/expected/"
	done
	status=0
fi
if [ $status = 0 ]; then
	rm -rf "$work"
else
	say "the results are in $work"
fi
exit $status
