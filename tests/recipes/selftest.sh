#!/bin/bash
# SPDX-License-Identifier: MIT
# If this fails, a recipe that nobody tries, one that does nothing, or a check that lost its recipe goes unseen.
#
#   selftest.sh RECIPES.PY TUNING.MD SUBJECT
set -euo pipefail
recipes=$1 tuning=$2 subject=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# must_fail TEXT COMMAND...: the command fails and says so
must_fail()
{
	local text=$1 said
	shift
	if said=$("$@" 2>&1); then
		echo "FAILED: $* succeeds: $said" >&2
		exit 1
	fi
	[[ $said == *"$text"* ]] || {
		echo "FAILED: $* does not say '$text' but: $said" >&2
		exit 1
	}
	echo "seen: $text"
}

sed 's/^## Limits/* **Something new:** `narenas:2`.\n\n&/' "$tuning" >"$work/new.md"
[[ $("$recipes" --list "$work/new.md" | tail -n 1) == 'Something new (narenas:2)' ]]
must_fail 'there is no check for the recipe Something new (narenas:2)' \
	"$recipes" "$work/new.md" "$subject" --only 'Something new (narenas:2)'

sed 's/`tcache:false`/`tcache:true`/' "$tuning" >"$work/other.md"
must_fail 'there is no check for the recipe Threads should cache nothing (tcache:true)' \
	"$recipes" "$work/other.md" "$subject" --only 'Threads should cache nothing (tcache:true)'
must_fail 'the document no longer has Threads should cache nothing (tcache:false)' "$recipes" "$work/other.md" "$subject"

sed 's/^## Limits/* **Nothing to set:** be patient.\n\n&/' "$tuning" >"$work/vague.md"
must_fail '"Nothing to set" says neither what to set nor what to call' "$recipes" --list "$work/vague.md"

# An option without its effect.
printf '#!/bin/sh\nunset MALLOC_CONF\nexec "%s" "$@"\n' "$(readlink -f "$subject")" >"$work/deaf"
chmod +x "$work/deaf"
must_fail 'something is cached' "$recipes" "$tuning" "$work/deaf" --only 'Threads should cache nothing (tcache:false)'
must_fail 'memory is not filled' "$recipes" "$tuning" "$work/deaf" --only 'Find uses of fresh or freed memory (junk:true)'
must_fail 'there is a thread named ashlar-helper' "$recipes" "$tuning" "$work/deaf" --only 'ashlar should make no thread (helper_thread:false)'
