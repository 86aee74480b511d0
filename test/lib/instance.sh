#!/bin/bash
#
# A private PostgreSQL server with the extension, in a directory of its own. Tests, benchmarks and
# the demo use it; it never touches the system's own cluster. As root it runs the server as an
# unprivileged user.
#
#     instance.sh start DIR [options]    make the cluster if need be, start it, wait until it serves
#     instance.sh restart DIR [options]  stop it, if it runs, and start it again
#     instance.sh stop DIR [MODE]        end it; MODE is fast (the default), smart or immediate
#     instance.sh destroy DIR            end it and remove its directory
#     instance.sh psql DIR [...]         psql as its superuser
#     instance.sh status DIR             exit code 0 if it runs
#
#     -p PORT               the port of PostgreSQL (default: the last one, or a free one)
#     -w PORT               the port of the WebSocket server (likewise)
#     -l NUMBER             realtime.listeners
#     -s SECRET             realtime.jwt_secret
#     -c 'NAME = VALUE'     a line for postgresql.conf; may be repeated, comes after the others
#     -x                    leave the extension out, and don't wait for it
#     -q                    print nothing when it works
#
# PG_CONFIG says which PostgreSQL. Settings given once are kept over later starts.
# Sourced, it only defines its functions.

INSTANCE_DEFAULT_SECRET=realtime-test-secret-of-more-than-32-bytes
INSTANCE_START_SECONDS=${INSTANCE_START_SECONDS:-60}

# A free port is claimed by a link of this name with the port at its end, before anything listens there. The link leads to
# who has the port: the directory of an instance, or a process in /proc. One that leads nowhere claims nothing and is removed.
INSTANCE_CLAIM=/tmp/realtime-port

instance_say()
{
	printf 'instance.sh: %s\n' "$*" >&2
}

# Says what failed, shows the end of the server's log, and fails.
instance_fail()
{
	instance_say "$*"
	if [ -n "${INSTANCE_HOME:-}" ] && [ -r "$INSTANCE_HOME/server.log" ]; then
		instance_say "the end of $INSTANCE_HOME/server.log:"
		tail -n 30 "$INSTANCE_HOME/server.log" >&2
	fi
	return 1
}

# Sets INSTANCE_BINDIR.
instance_find_postgres()
{
	local config=${PG_CONFIG:-pg_config}

	if ! INSTANCE_BINDIR=$("$config" --bindir 2>/dev/null) || [ ! -x "$INSTANCE_BINDIR/postgres" ]; then
		instance_say "no PostgreSQL server found through ${config}: set PG_CONFIG"
		return 1
	fi
}

# Sets INSTANCE_USER: who runs the server. PostgreSQL refuses to run as root.
instance_find_user()
{
	if [ "$(id -u)" != 0 ]; then
		INSTANCE_USER=$(id -un)
	elif id postgres >/dev/null 2>&1; then
		INSTANCE_USER=postgres
	else
		INSTANCE_USER=nobody
	fi
}

# Runs a command as the server's user, from a directory that this user may be in.
instance_as()
{
	if [ "$(id -u)" = 0 ]; then
		(cd / && exec runuser -u "$INSTANCE_USER" -- env LC_ALL=C "$@")
	else
		(cd / && exec env LC_ALL=C "$@")
	fi
}

# True if something accepts connections on this port of this machine.
instance_port_is_taken()
{
	(exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# Prints a port that nothing uses, below the range that the kernel hands out to clients, and claims it for OWNER, a
# directory or a process in /proc: instance_free_port OWNER.
instance_free_port()
(
	owner=$1
	flock --wait 30 9 || exit 1
	for claim in "$INSTANCE_CLAIM".*; do
		[ -e "$(readlink "$claim")" ] || rm -f "$claim" 2>/dev/null
	done
	for ((try = 0; try < 100; try++)); do
		port=$((20000 + (RANDOM * 32768 + RANDOM) % 12000))
		if ! instance_port_is_taken "$port" && ln -sT "$owner" "$INSTANCE_CLAIM.$port" 2>/dev/null; then
			echo "$port"
			exit 0
		fi
	done
	instance_say "no free port found between 20000 and 32000"
	exit 1
) 9<"${INSTANCE_CLAIM%/*}"

# Gives up a port, if it is claimed for OWNER: instance_release_port PORT OWNER.
instance_release_port()
{
	if [ "$(readlink "$INSTANCE_CLAIM.$1")" = "$2" ]; then
		rm -f "$INSTANCE_CLAIM.$1"
	fi
}

# Prints the status line and body of GET PATH on the WebSocket port; fails if nothing answers.
instance_http_get()
{
	local port=$1 path=$2

	timeout 3 bash -c '
		exec 3<>"/dev/tcp/127.0.0.1/$1" || exit 1
		printf "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" "$2" >&3
		cat <&3' _ "$port" "$path" 2>/dev/null
}

# Sets INSTANCE_HOME, where the files are: DIR itself, or what an earlier start chose.
instance_locate()
{
	INSTANCE_DIR=$(realpath -m "$1")
	INSTANCE_HOME=$INSTANCE_DIR
	if [ -L "$INSTANCE_DIR/home" ]; then
		INSTANCE_HOME=$(readlink "$INSTANCE_DIR/home")
	fi
}

# Reads what the last start chose: the ports, the secret, the socket's directory.
instance_load()
{
	instance_locate "$1"
	PGPORT= PORT= JWT_SECRET= PGHOST= LISTENERS= NO_EXTENSION=
	if [ -r "$INSTANCE_HOME/instance.env" ]; then
		# shellcheck disable=SC1091
		. "$INSTANCE_HOME/instance.env"
	fi
}

instance_save()
{
	cat >"$INSTANCE_HOME/instance.env" <<-END
		PGHOST=$PGHOST
		PGPORT=$PGPORT
		PGUSER=postgres
		PGDATABASE=postgres
		PORT=$PORT
		LISTENERS=$LISTENERS
		NO_EXTENSION=$NO_EXTENSION
		JWT_SECRET=$JWT_SECRET
	END
	chmod 600 "$INSTANCE_HOME/instance.env"
}

# Makes the directory, and chooses another place for the files when the server's user can't get there.
instance_make_home()
{
	if [ "$(id -u)" = 0 ] && [ "$INSTANCE_HOME" = "$INSTANCE_DIR" ]; then
		chown "$INSTANCE_USER" "$INSTANCE_DIR"
		if ! instance_as test -w "$INSTANCE_DIR"; then
			INSTANCE_HOME=$(mktemp -d /var/tmp/realtime.XXXXXX)
			chown "$INSTANCE_USER" "$INSTANCE_HOME"
			ln -sfn "$INSTANCE_HOME" "$INSTANCE_DIR/home"
		fi
	fi
	chmod 700 "$INSTANCE_HOME"

	# The path of a socket may have 107 bytes.
	if [ -z "$PGHOST" ] || [ ! -d "$PGHOST" ]; then
		PGHOST=$INSTANCE_HOME
		if [ ${#PGHOST} -gt 80 ]; then
			PGHOST=$(mktemp -d /tmp/rt.XXXXXX)
			if [ "$(id -u)" = 0 ]; then
				chown "$INSTANCE_USER" "$PGHOST"
			fi
		fi
	fi
}

instance_initdb()
{
	if [ -e "$INSTANCE_HOME/data/PG_VERSION" ]; then
		return 0
	fi
	if ! instance_as "$INSTANCE_BINDIR/initdb" --pgdata="$INSTANCE_HOME/data" --username=postgres \
		--auth-local=trust --auth-host=scram-sha-256 --encoding=UTF8 --locale=C --no-sync \
		>"$INSTANCE_HOME/initdb.log" 2>&1; then
		instance_say "initdb failed:"
		tail -n 20 "$INSTANCE_HOME/initdb.log" >&2
		return 1
	fi
	echo "include = 'instance.conf'" >>"$INSTANCE_HOME/data/postgresql.conf"
}

# Writes the settings. Those of earlier starts are kept in instance.settings.
instance_configure()
{
	local setting

	for setting in "$@"; do
		printf '%s\n' "$setting" >>"$INSTANCE_HOME/instance.settings"
	done
	cat >"$INSTANCE_HOME/data/instance.conf" <<-END
		listen_addresses = 'localhost'
		port = $PGPORT
		unix_socket_directories = '$PGHOST'
		unix_socket_permissions = 0700
		max_connections = 100
		wal_level = logical
		max_replication_slots = 16
		max_wal_senders = 8
		max_worker_processes = 32
		max_prepared_transactions = 8
		shared_preload_libraries = 'realtime'
		log_line_prefix = '%m [%p] %b '
		log_timezone = 'UTC'
		timezone = 'UTC'
		realtime.database = 'postgres'
		realtime.port = $PORT
		realtime.listeners = $LISTENERS
		realtime.jwt_secret = '$JWT_SECRET'
	END
	if [ -r "$INSTANCE_HOME/instance.settings" ]; then
		cat "$INSTANCE_HOME/instance.settings" >>"$INSTANCE_HOME/data/instance.conf"
	fi
	if [ "$(id -u)" = 0 ]; then
		chown "$INSTANCE_USER" "$INSTANCE_HOME/data/instance.conf"
	fi
	chmod 600 "$INSTANCE_HOME/data/instance.conf"
}

instance_is_running()
{
	[ -e "$INSTANCE_HOME/data/PG_VERSION" ] &&
		instance_as "$INSTANCE_BINDIR/pg_ctl" status --pgdata="$INSTANCE_HOME/data" >/dev/null 2>&1
}

instance_psql()
{
	PGHOST=$PGHOST PGPORT=$PGPORT PGUSER=postgres PGDATABASE=${PGDATABASE:-postgres} \
		"$INSTANCE_BINDIR/psql" -X -v ON_ERROR_STOP=1 "$@"
}

# Waits until the WebSocket server answers.
instance_wait_until_it_serves()
{
	local deadline=$((SECONDS + INSTANCE_START_SECONDS)) answer=

	while [ $SECONDS -lt $deadline ]; do
		answer=$(instance_http_get "$PORT" /healthcheck | tr -d '\r' | sed -n '1p;$p' | tr '\n' ' ')
		if [[ $answer == "HTTP/1.1 200 "*ok* ]]; then
			return 0
		fi
		if ! instance_is_running; then
			instance_fail "the server ended while it was waited for"
			return 1
		fi
		sleep 0.1
	done
	instance_say "realtime.health() says:"
	instance_psql -c 'select * from realtime.health()' >&2 || true
	instance_fail "port $PORT did not answer /healthcheck with \"ok\" in $INSTANCE_START_SECONDS s (last answer: ${answer:-none})"
}

# Starts the server in DIR: instance_start DIR [options as above].
instance_start()
{
	local dir=$1 option settings=() quiet= pgport= port= listeners= secret= OPTIND=1 OPTARG
	shift

	instance_load "$dir" && instance_find_postgres && instance_find_user || return 1
	while getopts 'p:w:l:s:c:xq' option; do
		case $option in
			p) pgport=$OPTARG ;;
			w) port=$OPTARG ;;
			l) listeners=$OPTARG ;;
			s) secret=$OPTARG ;;
			c) settings+=("$OPTARG") ;;
			x) NO_EXTENSION=1 ;;
			q) quiet=1 ;;
			*) return 2 ;;
		esac
	done

	if instance_is_running; then
		instance_say "it runs already"
	else
		mkdir -p "$INSTANCE_DIR"
		PGPORT=${pgport:-${PGPORT:-$(instance_free_port "$INSTANCE_DIR")}} || return 1
		PORT=${port:-${PORT:-$(instance_free_port "$INSTANCE_DIR")}} || return 1
		LISTENERS=${listeners:-${LISTENERS:-1}}
		JWT_SECRET=${secret:-${JWT_SECRET:-$INSTANCE_DEFAULT_SECRET}}
		for port in "$PGPORT" "$PORT"; do
			if instance_port_is_taken "$port"; then
				instance_say "port $port is in use"
				return 1
			fi
		done
		instance_make_home && instance_initdb && instance_configure "${settings[@]}" && instance_save || return 1
		if ! instance_as "$INSTANCE_BINDIR/pg_ctl" start --pgdata="$INSTANCE_HOME/data" --wait \
			--timeout="$INSTANCE_START_SECONDS" --log="$INSTANCE_HOME/server.log" --silent; then
			instance_fail "the server did not start"
			return 1
		fi
	fi

	if [ -z "$NO_EXTENSION" ]; then
		if ! instance_psql -q -o /dev/null -c "
			set client_min_messages = warning;
			create extension if not exists realtime;
			select realtime.setup_supabase();"; then
			instance_fail "the extension could not be created"
			return 1
		fi
		instance_wait_until_it_serves || return 1
	fi
	if [ -z "$quiet" ]; then
		cat "$INSTANCE_HOME/instance.env"
		echo "HOME_DIR=$INSTANCE_HOME"
	fi
}

# Ends the server in DIR: instance_stop DIR [MODE].
instance_stop()
{
	local mode=${2:-fast}

	instance_load "$1" && instance_find_postgres && instance_find_user || return 1
	if instance_is_running; then
		instance_as "$INSTANCE_BINDIR/pg_ctl" stop --pgdata="$INSTANCE_HOME/data" --mode="$mode" \
			--wait --timeout=60 --silent ||
			instance_as "$INSTANCE_BINDIR/pg_ctl" stop --pgdata="$INSTANCE_HOME/data" --mode=immediate \
				--wait --timeout=30 --silent ||
			instance_fail "the server did not stop"
	fi
}

# Ends the server in DIR and removes the directory, if it is one of ours.
instance_destroy()
{
	instance_load "$1"
	if [ ! -e "$INSTANCE_HOME/instance.env" ]; then
		return 0
	fi
	instance_stop "$1" immediate || return 1
	instance_release_port "$PGPORT" "$INSTANCE_DIR"
	instance_release_port "$PORT" "$INSTANCE_DIR"
	if [[ $PGHOST == /tmp/rt.* ]]; then
		rm -rf "$PGHOST"
	fi
	rm -rf "$INSTANCE_HOME" "$INSTANCE_DIR"
}

instance_main()
{
	local command=${1:-} dir=${2:-}

	if [ -z "$dir" ]; then
		sed -n '3,/^$/{/^#/!q;s/^# \{0,1\}//;p}' "$0" >&2
		return 2
	fi
	shift 2
	case $command in
		start)
			instance_start "$dir" "$@"
			;;
		restart)
			instance_stop "$dir" && instance_start "$dir" "$@"
			;;
		stop)
			instance_stop "$dir" "$@"
			;;
		destroy)
			instance_destroy "$dir"
			;;
		psql)
			instance_load "$dir" && instance_find_postgres && instance_psql "$@"
			;;
		status)
			instance_load "$dir" && instance_find_postgres && instance_find_user && instance_is_running
			;;
		*)
			instance_say "unknown command $command"
			return 2
			;;
	esac
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
	set -u
	instance_main "$@"
fi
