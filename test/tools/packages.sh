#!/bin/sh
#
# Installs what is missing for one purpose on Debian 12, where git and make are all that is assumed.
#
#     packages.sh build     compile and install the extension
#     packages.sh demo      the same and run a private server
#     packages.sh check     the same and run every test
#     packages.sh versions  the same on other Debians with other versions of PostgreSQL
#     packages.sh asan      the same with a server that is built with sanitizers
#
# When all is there it does nothing, and needs neither root nor a network. A program that is found
# counts whoever installed it: a newer node in /usr/local or another PostgreSQL named by PG_CONFIG
# is used, and Debian's is then not installed over it.

set -eu

say()
{
	printf '%s\n' "packages.sh: $*" >&2
}

missing=

# Remembers a package that has to be installed.
want()
{
	missing="$missing $1"
}

have_command()
{
	command -v "$1" >/dev/null 2>&1
}

# True when Debian's package is installed.
have_package()
{
	have_command dpkg-query &&
		[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null || true)" = installed ]
}

# Wants a package unless it, or one of the commands named after it, is there.
need()
{
	package=$1
	shift
	for name in "$@"; do
		if have_command "$name"; then
			return
		fi
	done
	have_package "$package" || want "$package"
}

# Wants a package unless it, or a header of that name, is there.
need_header()
{
	if [ -e "/usr/include/$2" ] || [ -e "/usr/local/include/$2" ]; then
		return
	fi
	have_package "$1" || want "$1"
}

# Any PostgreSQL with its server headers will do; the one that is installed is Debian 12's.
need_postgresql()
{
	config=${PG_CONFIG:-pg_config}
	if have_command "$config" &&
		[ -e "$("$config" --includedir-server)/postgres.h" ] &&
		[ -x "$("$config" --bindir)/postgres" ]; then
		return
	fi
	have_package postgresql-15 || want postgresql-15
	have_package postgresql-server-dev-15 || want postgresql-server-dev-15
}

# Debian's npm depends on Debian's node, so it is wanted only where no other node exists.
need_node()
{
	if have_command node; then
		if have_command npm || have_command corepack; then
			return
		fi
		if have_package nodejs && dpkg-query -W -f '${Version}' nodejs | grep -q '^18\.'; then
			want npm
			return
		fi
		say "node is there ($(command -v node)) but neither npm nor corepack is: install npm beside it"
		exit 1
	fi
	want nodejs
	want npm
}

need_build()
{
	need gcc gcc cc
	need_header libc6-dev stdio.h
	need make make
	need_postgresql
	need_header libwebsockets-dev libwebsockets.h
	have_package libwebsockets-evlib-uv || ! have_command dpkg-query || want libwebsockets-evlib-uv
	need_header libuv1-dev uv.h
	need_header libssl-dev openssl/evp.h
}

need_run()
{
	need util-linux runuser setsid
}

need_check()
{
	need_header libcmocka-dev cmocka.h
	need clang clang clang-14
	have_package libclang-rt-14-dev || ! have_command dpkg-query || want libclang-rt-14-dev
	need diffutils diff
	need openssl openssl
	need prometheus promtool
	have_package ca-certificates || ! have_command dpkg-query || want ca-certificates
	need_node
}

need_versions()
{
	need debootstrap debootstrap
	have_package debian-archive-keyring || ! have_command dpkg-query || want debian-archive-keyring
	need iproute2 ip
}

# What building a server from its sources needs beyond what building the extension does.
need_asan()
{
	need bzip2 bzip2
	need_header libxml2-dev libxml2/libxml/tree.h
}

case "${1:-}" in
	build)
		need_build
		;;
	demo)
		need_build
		need_run
		;;
	check)
		need_build
		need_run
		need_check
		;;
	versions)
		need_build
		need_run
		need_check
		need_versions
		;;
	asan)
		need_build
		need_run
		need_check
		need_asan
		;;
	*)
		say "usage: packages.sh build|demo|check|versions|asan"
		exit 2
		;;
esac

if [ -z "$missing" ]; then
	exit 0
fi

if ! have_command apt-get; then
	say "these are missing, and there is no apt-get to install them with:$missing"
	exit 1
fi

if [ "$(id -u)" = 0 ]; then
	root=
elif have_command sudo; then
	root=sudo
else
	say "these are missing, and installing them needs root or sudo:$missing"
	exit 1
fi

say "installing$missing"
apt="$root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=120"
$apt update
# shellcheck disable=SC2086
$apt install -y --no-install-recommends $missing
