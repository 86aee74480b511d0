#!/bin/bash
#
# Line coverage of src/wire by what gcov knows of the object files in a folder:
#
#     coverage.sh [-v] FOLDER PERCENT
#
# Prints a table and fails below PERCENT. -v lists each line that was not run. A line counts once, and as run
# if it ran in any of the object files that hold it: inline functions of a header are in many.

set -euo pipefail

verbose=
if [ "${1:-}" = -v ]; then
	verbose=1
	shift
fi
folder=$1
percent=$2

"${GCOV:-gcov}" --stdout --relative-only "$folder"/*.gcda | awk -v verbose="$verbose" -v percent="$percent" '
	# -: 0:Source:FILE begins a file, then COUNT:LINE:TEXT; COUNT is - for no code, ##### for never run.
	{
		count = $0
		sub(/:.*/, "", count)
		gsub(/[ *]/, "", count)
		line = $0
		sub(/^[^:]*:[ ]*/, "", line)
		text = line
		sub(/:.*/, "", line)
		sub(/^[^:]*:/, "", text)
	}
	line == "0" && text ~ /^Source:/ { file = substr(text, 8); next }
	line + 0 == 0 || count == "-" || file !~ /^src\/wire\// { next }
	{
		key = file SUBSEP line
		if (!(key in texts))
		{
			texts[key] = text
			order[++keys] = key
			lines[file]++
		}
		if (count !~ /^[#=]+$/ && !(key in ran))
		{
			ran[key] = 1
			hits[file]++
		}
	}
	END {
		for (i = 1; i <= keys; i++)
		{
			split(order[i], part, SUBSEP)
			if (!(order[i] in ran) && verbose)
				printf "%s:%d:%s\n", part[1], part[2], texts[order[i]]
			if (!(part[1] in seen))
			{
				seen[part[1]] = 1
				files[++nfiles] = part[1]
			}
		}
		for (i = 1; i <= nfiles; i++)
		{
			printf "%-28s %5d of %5d lines  %5.1f %%\n", files[i], hits[files[i]], lines[files[i]],
				100 * hits[files[i]] / lines[files[i]] | "sort"
			all += lines[files[i]]
			hit += hits[files[i]]
		}
		close("sort")
		if (all == 0)
		{
			print "coverage.sh: no line of src/wire was found" > "/dev/stderr"
			exit 1
		}
		printf "%-28s %5d of %5d lines  %5.1f %%\n", "all of src/wire", hit, all, 100 * hit / all
		if (100 * hit < percent * all)
		{
			printf "coverage.sh: %.1f %% are less than %s %%\n", 100 * hit / all, percent > "/dev/stderr"
			exit 1
		}
	}'
