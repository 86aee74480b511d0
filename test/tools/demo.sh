#!/bin/bash
#
# The demo: a private PostgreSQL server in ./demo.data with the extension, ready to connect to.
#
#     demo.sh start     make it if need be, start it, say how to use it
#     demo.sh stop      end it; the data stay
#
#     PORT        of the WebSocket server, 4000 if not set
#     PGPORT      of PostgreSQL, 54320 if not set
#     PG_CONFIG   says which PostgreSQL
#
# The extension has to be installed.

set -u

want_port=${PORT:-}
want_pgport=${PGPORT:-}
top=$(cd "$(dirname "$0")/../.." && pwd)
data=$top/demo.data
. "$top/test/lib/instance.sh"

say()
{
	printf 'demo: %s\n' "$*" >&2
}

fail()
{
	say "$*"
	exit 1
}

# As root the server runs as another user, who may not be allowed into the folders above ./demo.data. An open
# directory can be entered all the same: file descriptor 9 is handed on to the server and to all it starts.
find_home()
{
	home=$data
	if [ "$(id -u)" != 0 ] || instance_as test -x "$data"; then
		return
	fi
	exec 9<"$data"
	home=/proc/self/fd/9
	instance_as test -x "$home" || fail "user $INSTANCE_USER can't get into $data: move this folder to a place that all may enter"
}

# instance.sh would take to another folder; the demo stays in ./demo.data.
instance_locate()
{
	INSTANCE_DIR=$home
	INSTANCE_HOME=$home
}

# Has the library been installed after the server was started?
library_is_newer()
{
	[ "$("${PG_CONFIG:-pg_config}" --pkglibdir)/realtime.so" -nt "$INSTANCE_HOME/data/postmaster.pid" ]
}

# Ends a running server that can't stay as it is, and fails if it is not what was asked for.
look_at_running_server()
{
	if ! instance_is_running; then
		return
	fi
	if [ -n "$want_port" ] && [ "$want_port" != "$PORT" ]; then
		fail "it runs already, with PORT=$PORT: run \"make demo-stop\" first"
	fi
	if [ -n "$want_pgport" ] && [ "$want_pgport" != "$PGPORT" ]; then
		fail "it runs already, with PGPORT=$PGPORT: run \"make demo-stop\" first"
	fi
	if library_is_newer; then
		say "the extension was installed anew: starting the server again"
		instance_stop "$data" || exit 1
	fi
}

check_port()
{
	local name=$1 port=$2

	if ! [[ $port =~ ^[1-9][0-9]{0,4}$ ]] || [ "$port" -gt 65535 ]; then
		fail "$name=$port is no port"
	fi
	if instance_port_is_taken "$port"; then
		fail "port $port is taken by another program: choose another with \"make demo $name=...\""
	fi
}

new_secret()
{
	head -c 48 /dev/urandom | od -An -v -tx1 | tr -d ' \n'
}

start()
{
	mkdir -p "$data"
	if [ "$(id -u)" = 0 ]; then
		chown "$INSTANCE_USER" "$data"
	fi
	chmod 700 "$data"
	find_home
	instance_load "$data"
	look_at_running_server

	if instance_is_running; then
		instance_start "$data" -q 2>/dev/null || instance_fail "it runs, but does not serve" || exit 1
	else
		want_port=${want_port:-${PORT:-4000}}
		want_pgport=${want_pgport:-${PGPORT:-54320}}
		check_port PORT "$want_port"
		check_port PGPORT "$want_pgport"
		instance_start "$data" -q -p "$want_pgport" -w "$want_port" -s "${JWT_SECRET:-$(new_secret)}" || exit 1
	fi
}

key()
{
	instance_psql -At -c "select realtime.issue_token('$1', expires_in => '10 years')"
}

show()
{
	local anon service socket

	anon=$(key anon) && service=$(key service_role) || exit 1
	socket=${PGHOST/#"$home"/$data}
	cat <<-END

		realtime is running. "make demo-stop" ends it; what it has is in $data.

		URL           http://localhost:$PORT
		anon key      $anon
		service key   $service

		In JavaScript (npm install @supabase/supabase-js):

		import { createClient } from '@supabase/supabase-js'
		const supabase = createClient('http://localhost:$PORT', '$anon')
		const room = supabase.channel('room', { config: { broadcast: { self: true } } })
		room.on('broadcast', { event: '*' }, (message) => console.log(message.event, message.payload))
		room.subscribe((status) => status === 'SUBSCRIBED' &&
		  room.send({ type: 'broadcast', event: 'hello', payload: { from: 'JavaScript' } }))

		From the database:

		$INSTANCE_BINDIR/psql -h '$socket' -p $PGPORT -U postgres -d postgres \\
		  -c "select realtime.send('{\"from\": \"SQL\"}', 'hello', 'room', false)"

	END
}

stop()
{
	if [ ! -d "$data" ]; then
		return
	fi
	find_home
	instance_stop "$data"
}

instance_find_postgres && instance_find_user || exit 1
case ${1:-} in
	start)
		start
		show
		;;
	stop)
		stop
		;;
	*)
		say "usage: demo.sh start|stop"
		exit 2
		;;
esac
