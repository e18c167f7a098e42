#!/bin/sh
# The pages in a real Chromium: a person uploads spectra, starts a search, steers it, reads a log, fetches the results; on a wide window and on
# a telephone's; every page is looked at by axe-core. Installs Debian's chromium, nodejs and npm where they are missing. Ends with 0 if all is well.
#   BIN    the folder of millpond and millpond-head (target/release)
#   WORK   the folder that examples/proteomics/run.sh was given: its spectra and proteins
#   SHOTS  a folder for pictures of every page (none)
set -eu

here=$(cd "$(dirname "$0")" && pwd)
bin=${BIN:-$here/../../target/release}
[ -f "${WORK:?name the folder that examples/proteomics/run.sh was given}/spectra.mgf" ] || { echo "$WORK/spectra.mgf is missing" >&2; exit 1; }
for program in chromium:chromium node:nodejs npm:npm; do
    command -v "${program%%:*}" > /dev/null \
        || { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${program##*:}"; }
done

work=$(mktemp -d)
head=
trap 'test -z "$head" || { kill "$head" && wait "$head" || true; }; rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
cp "$here"/package*.json "$here"/*.mjs "$work"
(cd "$work" && npm ci --ignore-scripts --no-audit --no-fund > npm.log 2>&1) || { tail -n 20 "$work/npm.log" >&2; exit 1; }

export XDG_CONFIG_HOME="$work/config" XDG_STATE_HOME="$work/state"
"$bin/millpond" up --slots 2 --dir "$work/cluster" --listen 127.0.0.1:0 > "$work/up.log" 2>&1 &
head=$!
until url=$(sed -n 's/^listening on //p' "$work/up.log") && [ -n "$url" ]; do
    kill -0 "$head" 2> /dev/null || { cat "$work/up.log" >&2; exit 1; }
    sleep 0.1
done
MILLPOND="$bin/millpond" MILLPOND_HEAD="$url" SPECTRA="$WORK" EXAMPLE="$here/../../examples/proteomics" SHOTS="${SHOTS:-}" FOLDER="$work" \
    timeout 600 node "$work/story.mjs"
