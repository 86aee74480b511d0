#!/bin/sh
#
# Runs npm; where node is there without it, the npm that corepack, which comes with node, can fetch.
#
#     npm.sh ci

set -eu

if command -v npm >/dev/null 2>&1; then
	exec npm "$@"
fi

if ! command -v corepack >/dev/null 2>&1; then
	echo "npm.sh: neither npm nor corepack is installed" >&2
	exit 1
fi

# corepack knows nothing of npm's settings: hand it the registry that npm would ask.
if [ -z "${COREPACK_NPM_REGISTRY:-}" ]; then
	registry=${npm_config_registry:-}
	for file in "${npm_config_userconfig:-${HOME:-/root}/.npmrc}" /etc/npmrc; do
		if [ -z "$registry" ] && [ -r "$file" ]; then
			registry=$(sed -n 's/^registry[[:space:]]*=[[:space:]]*//p' "$file" | head -n 1)
		fi
	done
	if [ -n "$registry" ]; then
		COREPACK_NPM_REGISTRY=${registry%/}
		export COREPACK_NPM_REGISTRY
	fi
fi

# The key ring of older corepacks does not know the keys that npm signs with today.
COREPACK_INTEGRITY_KEYS=0
COREPACK_ENABLE_DOWNLOAD_PROMPT=0
export COREPACK_INTEGRITY_KEYS COREPACK_ENABLE_DOWNLOAD_PROMPT
exec corepack npm@10.9.2 "$@"
