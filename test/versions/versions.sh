#!/bin/bash
#
# Builds without a warning, and runs every test, against other versions of PostgreSQL, each on the Debian that has it:
#
#     versions.sh 15     on this machine
#     versions.sh 17     on Debian 13 (trixie)
#     versions.sh 18     on forky
#
# Several may be named. Those that are not this machine's run in a folder that debootstrap fills from the mirror which apt
# uses here. It is kept for the next time in TEST_CACHE, /var/cache/realtime-test if not set. The tests see file
# systems, processes and a network of their own, which end with them whatever happens. Needs root.
#
#     VERSION_SECONDS   how long one version may take, 2400 if not set
#     VERSION_MIRROR    another mirror than apt's

set -euo pipefail

top=$(cd "$(dirname "$0")/../.." && pwd)
. "$top/test/lib/tree.sh"

limit=${VERSION_SECONDS:-2400}

say()
{
	printf 'versions.sh: %s\n' "$*"
}

fail()
{
	say "$*" >&2
	exit 1
}

suite_of()
{
	case $1 in
		17) echo trixie ;;
		18) echo forky ;;
		*) fail "there is no Debian known here for PostgreSQL $1" ;;
	esac
}

# The mirror that this machine's own packages come from.
mirror()
{
	local codename

	codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
	apt-get indextargets --format '$(CODENAME) $(REPO_URI)' 'Created-By: Packages' |
		awk -v codename="$codename" '$1 == codename { print $2; exit }'
}

# Fills the folder ROOT with the least of a Debian. A run that was cut short leaves ROOT.part, which is not used.
make_root()
{
	local suite=$1 root=$2 from=${VERSION_MIRROR:-$(mirror)}

	if [ -e "$root" ]; then
		return
	fi
	[ -n "$from" ] || fail "apt knows no mirror: set VERSION_MIRROR"
	command -v debootstrap >/dev/null || fail "debootstrap is not installed"
	say "making a Debian $suite in $root"
	rm -rf "$root.part"
	# "sid" is the script that any newer suite is made with; an old debootstrap does not know the newest names.
	timeout 900 debootstrap --variant=minbase --include=ca-certificates \
		--keyring=/usr/share/keyrings/debian-archive-keyring.gpg "$suite" "$root.part" "$from" sid >"$root.log" 2>&1 ||
		{ tail -n 20 "$root.log" >&2; fail "debootstrap failed"; }
	# A mirror that is kept as of some day serves a testing suite whose time of validity has passed. It is signed all the same.
	echo 'Acquire::Check-Valid-Until "false";' >"$root.part/etc/apt/apt.conf.d/90mirror"
	{ apt-config dump | grep -E '^Acquire::[a-z]+::Proxy' || true; } >"$root.part/etc/apt/apt.conf.d/91proxy"
	# Installing a server starts none.
	printf '#!/bin/sh\nexit 101\n' >"$root.part/usr/sbin/policy-rc.d"
	chmod 755 "$root.part/usr/sbin/policy-rc.d"
	mv "$root.part" "$root"
}

# Runs bash -c COMMAND in ROOT. All it mounts and starts is gone when it ends. With "alone" it has a network of its own.
inside()
{
	local root=$1 seconds=$2 network=$3 command=$4 apart=(--mount --pid --fork --kill-child)

	if [ "$network" = alone ]; then
		apart+=(--net)
	fi
	timeout --kill-after=10 "$seconds" unshare "${apart[@]}" bash -c '
		set -e
		root=$1
		mount --make-rprivate /
		# A root is to be a mount, or "ip netns" does not work in it.
		mount --bind "$root" "$root"
		mount -t proc proc "$root/proc"
		mount --rbind /dev "$root/dev"
		mount -t tmpfs -o mode=1777,size=2g shm "$root/dev/shm"
		mount -t tmpfs -o mode=1777,size=8g tmp "$root/tmp"
		mount -t tmpfs -o mode=755 run "$root/run"
		exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
			DEBIAN_FRONTEND=noninteractive chroot "$root" bash -c "$2"
	' _ "$root" "$command" </dev/null
}

# Brings the packages up to what the tests need.
install_packages()
{
	local root=$1 version=$2 packages

	packages="gcc libc6-dev make postgresql-$version postgresql-server-dev-$version libwebsockets-dev
		libwebsockets-evlib-uv libuv1-dev libssl-dev libcmocka-dev openssl nodejs prometheus iproute2 procps util-linux diffutils"
	if [ "$(cat "$root/packages" 2>/dev/null)" = "$packages" ]; then
		return
	fi
	cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
	say "installing PostgreSQL $version"
	inside "$root" 900 shared "apt-get -q update && apt-get -q install -y --no-install-recommends $(echo $packages)" \
		>"$root.log" 2>&1 || { tail -n 20 "$root.log" >&2; fail "apt-get failed"; }
	echo "$packages" >"$root/packages"
}

# Called with ||, where set -e counts for nothing: each step says itself that the next depends on it.
check_elsewhere()
{
	local version=$1 suite root config=/usr/lib/postgresql/$1/bin/pg_config

	suite=$(suite_of "$version") || return 1
	root=$cache/$suite
	make_root "$suite" "$root" &&
		install_packages "$root" "$version" &&
		tree_copy "$root/work" &&
		inside "$root" "$limit" alone "
			set -e
			ip link set lo up
			export PG_CONFIG=$config
			. /work/test/lib/tree.sh
			tree_build /tmp/build.log /work
			cd /work
			make --no-print-directory -s install
			make --no-print-directory check-installed"
}

check_here()
{
	local work=$cache/here

	tree_copy "$work" &&
		tree_build "$cache/here.log" "$work" &&
		timeout --kill-after=10 "$limit" make --no-print-directory -C "$work" built-and-installed check-installed
}

[ $# -gt 0 ] || fail "usage: versions.sh VERSION..."
[ "$(id -u)" = 0 ] || fail "only root can make a Debian"
cache=$(tree_cache)/versions
tree_make_cache "$cache"

for version; do
	started=$SECONDS
	if [ "$version" = 15 ]; then
		check_here
	else
		check_elsewhere "$version"
	fi || fail "PostgreSQL $version failed, after $((SECONDS - started)) s"
	say "PostgreSQL $version passed, after $((SECONDS - started)) s"
done
