#!/usr/bin/env bash
# Rules of the house that a compiler does not check: who may include whom, pairs of regression files, versions that must agree.
set -euo pipefail
cd "$(dirname "$0")/../.."
failed=0

complain()
{
	echo "lint: $*" >&2
	failed=1
}

# room:rooms that it may include besides itself
rooms=(
	"wire:"
	"shared:wire"
	"wal:shared wire"
	"access:shared wire"
	"changes:access shared wire"
	"sql:shared wire launcher wal"
	"launcher:shared wire wal"
	"listener:shared wire"
)
for entry in "${rooms[@]}"; do
	room=${entry%%:*}
	allowed=" $room ${entry#*:} "
	while IFS=: read -r file _ included; do
		[ -f "src/$included" ] || continue # the server has folders of these names too
		[[ $allowed == *" ${included%%/*} "* ]] || complain "$file includes $included, which the room src/$room may not see"
	done < <(grep -rnoP --include='*.[ch]' '#include "\K(wire|shared|wal|sql|access|changes|listener|launcher)/[^"]+' "src/$room" || true)
done

while read -r file; do
	complain "$file sees libwebsockets or libuv; only src/listener may"
done < <(grep -rlE --include='*.[ch]' '#include <(libwebsockets|uv)\.h>' src | grep -v '^src/listener/' || true)

for file in src/wire/*.c; do
	grep -q '#ifdef POSTGRES_H' "$file" || complain "$file does not refuse to compile beside postgres.h"
done

# Code that is called by libwebsockets must not be able to throw. What may throw is called from the loop, in these files.
may_throw='^src/listener/(listener|socket)\.c$'
while IFS=: read -r file line _; do
	[[ $file =~ $may_throw ]] || complain "$file:$line can throw, and may run inside a callback of libwebsockets"
done < <(grep -nE '\b(palloc0?|pstrdup|psprintf|CHECK_FOR_INTERRUPTS|elog|initStringInfo|appendStringInfo\w*)\s*\(|ereport\((ERROR|PANIC)' src/listener/*.c || true)

for input in sql/*.sql; do
	name=$(basename "$input" .sql)
	[[ $name == *--* ]] && continue
	[ -f "expected/$name.out" ] || complain "$input has no expected/$name.out"
	grep -qw "$name" sql/regress.mk || complain "$input is not listed in sql/regress.mk"
done
for output in expected/*.out; do
	name=$(basename "$output" .out)
	[ -f "sql/${name%_[0-9]}.sql" ] || complain "$output has no input"
done

version=$(sed -n "s/^default_version *= *'\(.*\)'/\1/p" realtime.control)
[ -f "sql/realtime--$version.sql" ] || complain "there is no install script for default_version $version"
grep -q "\"file\": *\"sql/realtime--$version.sql\"" META.json || complain "META.json does not name sql/realtime--$version.sql"

grep -q "\"version\": *\"$version\.[0-9]*\"" META.json || complain "META.json has another version than $version"
sha256sum --check --quiet --strict sql/released.sha256 >&2 || complain "an install script that is released was changed"
for script in sql/realtime--*.sql; do
	old=$(basename "$script" .sql)
	[[ $old == realtime--*--* || $old == "realtime--$version" ]] && continue
	compgen -G "sql/$old--*.sql" >/dev/null || complain "there is no sql/$old--X.sql to update from ${old#realtime--}"
done

while read -r file; do
	complain "$file holds an unfinished-work marker"
done < <(grep -rlEI '\b(TODO|FIXME|XXX)\b' src sql test/unit test/bench test/tools test/lib Makefile README.md 2>/dev/null | grep -v '^test/tools/lint.sh$' || true)

exit $failed
