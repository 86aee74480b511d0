#!/bin/bash
#
# A copy of this tree's sources to build in, for servers other than the one that the tree itself is built for.
# Sourced, it only defines its functions.

tree_top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

# Prints where servers and systems that take long to make are kept between runs. As root, where the unprivileged
# user who runs the servers may go, which a clone under root's home is not.
tree_cache()
{
	if [ -n "${TEST_CACHE:-}" ]; then
		echo "$TEST_CACHE"
	elif [ "$(id -u)" = 0 ]; then
		echo /var/cache/realtime-test
	else
		echo "$tree_top/build/cache"
	fi
}

# Makes the cache's folder, if nobody else has.
tree_make_cache()
{
	mkdir -p "$1"
	if [ ! -O "$1" ]; then
		printf '%s: belongs to another user\n' "$1" >&2
		return 1
	fi
}

# Copies the sources, with the node modules of the tests but nothing that was built, to a folder that is emptied first.
tree_copy()
{
	local to=$1

	make --no-print-directory -s -C "$tree_top" e2e-modules || return 1
	rm -rf "$to"
	mkdir -p "$to"
	tar -C "$tree_top" -cf - --exclude=./.git --exclude=./build --exclude=./demo.data \
		--exclude='./*.o' --exclude='./*.d' --exclude='./*.bc' --exclude='./*.so' . | tar -C "$to" -xf - --no-same-owner
}

# Runs make all in a copy and fails if the compiler had something to say: tree_build LOG DIR [make's arguments]
tree_build()
{
	local log=$1 dir=$2
	shift 2

	if ! make --no-print-directory -s -j"$(nproc)" -C "$dir" all "$@" >"$log" 2>&1 || grep -q 'warning:' "$log"; then
		cat "$log" >&2
		return 1
	fi
}
