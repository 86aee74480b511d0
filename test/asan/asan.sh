#!/bin/bash
#
# Runs every test with the address and undefined-behaviour sanitizers, in the server too: it fails if they report anything.
#
# A library with the address sanitizer can't be loaded into a server without it, so PostgreSQL is built as well, once, from the
# sources of Debian's package, with the sanitizers and with its own assertions. It is kept in TEST_CACHE,
# /var/cache/realtime-test if not set (build/cache when not root). apt's own configuration stays as it is.
#
#     asan.sh            everything
#     asan.sh COMMAND    one command, with PG_CONFIG and the options of the sanitizers set

set -euo pipefail

top=$(cd "$(dirname "$0")/../.." && pwd)
. "$top/test/lib/tree.sh"

package=postgresql-15
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
flags="-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all"
options="--without-readline --without-zlib --with-openssl --with-libxml"
# What the tests load.
modules="dblink pg_walinspect test_decoding"

say()
{
	printf 'asan.sh: %s\n' "$*"
}

fail()
{
	say "$*" >&2
	exit 1
}

# apt-get or apt-cache with lists of their own that know the sources of what apt gets binaries of here.
with_sources()
{
	"$1" -o Dir::Etc::sourcelist="$cache/sources.list" -o Dir::Etc::sourceparts=- -o Dir::State::lists="$cache/lists" "${@:2}"
}

# Gets the newest sources that the mirror has: a security update may be there without.
get_sources()
{
	local version

	mkdir -p "$cache/lists/partial"
	apt-get indextargets --format "deb-src [signed-by=$keyring] \$(REPO_URI) \$(RELEASE) \$(COMPONENT)" \
		'Created-By: Packages' 'Origin: Debian' | sort -u >"$cache/sources.list"
	with_sources apt-get -q update
	for version in $(with_sources apt-cache showsrc "$package" | sed -n 's/^Version: //p' | sort -rV | uniq); do
		rm -rf "$cache/download"
		mkdir "$cache/download"
		if (cd "$cache/download" && with_sources apt-get -q source --download-only "$package=$version"); then
			return
		fi
	done
	echo "the mirror has no sources of $package"
	return 1
}

# What the server was made of: it is made anew when this changes.
describe()
{
	echo "$package $flags $options $modules"
	cat "$top/test/asan/options.c"
}

# Builds the server into DIR, which is made to be found by the unprivileged user who runs it.
build_server()
{
	local dir=$1 source=$cache/source module

	# PostgreSQL's makefiles make the headers that are generated only if they are not called by another make.
	unset MAKELEVEL MAKEFLAGS MFLAGS
	rm -rf "$dir" "$source"
	mkdir "$source"
	get_sources
	tar -C "$source" --strip-components=1 -xf "$cache"/download/*.orig.tar.*
	cd "$source"
	gcc -O1 -c -o options.o "$top/test/asan/options.c"
	# shellcheck disable=SC2086
	./configure --quiet --prefix="$dir" --enable-cassert $options \
		CC=gcc CFLAGS="$flags" LDFLAGS="-fsanitize=address,undefined" LDFLAGS_EX="$source/options.o"
	make -s -j"$(nproc)"
	make -s install
	for module in $modules; do
		make -s -C "contrib/$module" install
	done
	chmod -R a+rX "$dir"
	cd "$cache"
	rm -rf "$source" "$cache/download" "$cache/lists"
	describe >"$dir/complete"
}

cache=$(tree_cache)/asan
tree_make_cache "$cache"
server=$cache/server
export PG_CONFIG=$server/bin/pg_config

# Reports go into files, for the log of a server is removed with it. What is never freed before the end of a process is no
# fault of a server; the stack of a function must be the real one, or PostgreSQL's check of the stack's depth fails. The
# undefined-behaviour sanitizer and a broken assertion abort the process, which is what is reported then.
reports=$cache/reports
export ASAN_OPTIONS=detect_leaks=0:detect_stack_use_after_return=0:abort_on_error=1:handle_abort=1:disable_coredump=1:log_path=$reports/report
export UBSAN_OPTIONS=print_stacktrace=1:abort_on_error=1:log_path=$reports/report

if [ "$(cat "$server/complete" 2>/dev/null)" != "$(describe)" ]; then
	say "building a server in $server; what it prints goes to $cache/server.log"
	# Not with ||, where set -e would count for nothing.
	set +e
	(set -e; ASAN_OPTIONS=detect_leaks=0; build_server "$server") >"$cache/server.log" 2>&1
	built=$?
	set -e
	if [ $built != 0 ]; then
		tail -n 30 "$cache/server.log" >&2
		fail "the server could not be built"
	fi
fi

# Faults on purpose are reported: each ends the server, which starts again.
check_reports()
{
	local dir=$cache/faults fault found

	rm -rf "$dir"
	mkdir "$dir"
	# shellcheck disable=SC2086
	gcc $flags -fPIC -shared -I"$("$PG_CONFIG" --includedir-server)" -o "$dir/fault.so" "$top/test/asan/fault.c" || return 1
	"$top/test/lib/instance.sh" start "$dir/instance" -q -x || return 1
	"$top/test/lib/instance.sh" psql "$dir/instance" -q \
		-c "create function fault(int) returns int language c as '$dir/fault.so', 'fault'"
	for fault in 1 2 3; do
		"$top/test/lib/instance.sh" psql "$dir/instance" -c "select fault($fault)" >/dev/null 2>&1 || true
		for try in {1..300}; do
			"$top/test/lib/instance.sh" psql "$dir/instance" -c "select $try" >/dev/null 2>&1 && break
			sleep 0.1
		done
	done
	"$top/test/lib/instance.sh" destroy "$dir/instance"
	found=$(grep -l 'in fault ' "$reports"/* | wc -l)
	[ "$found" = 3 ] || { say "of 3 faults on purpose $found were reported" >&2; return 1; }
}

empty_reports()
{
	rm -rf "$reports"
	mkdir -m 1777 "$reports"
}

empty_reports
status=0
if [ $# -gt 0 ]; then
	"$@" || status=$?
else
	# The server's own flags are those of the extension too.
	work=$cache/work
	tree_copy "$work"
	tree_build "$cache/build.log" "$work"
	make --no-print-directory -s -C "$work" install
	check_reports || fail "what goes wrong would not be seen"
	empty_reports
	# These have the sanitizers by themselves, and look for leaks too.
	env -u ASAN_OPTIONS -u UBSAN_OPTIONS make --no-print-directory -s -C "$work" check-unit
	make --no-print-directory -C "$work" check-regress || status=1
	make --no-print-directory -C "$work" check-e2e || status=1
fi

for report in "$reports"/*; do
	if [ -s "$report" ]; then
		say "$report:" >&2
		head -n 60 "$report" >&2
		status=1
	fi
done
exit $status
