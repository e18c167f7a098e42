#!/bin/sh
# Builds what is committed twice, in two folders of different names, and compares the programs byte by byte. Takes two clean release builds.
set -eu
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP

SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
for folder in one "another-folder/with-a-longer-name"; do
    mkdir -p "$work/$folder"
    git archive HEAD | tar -x -C "$work/$folder"
    (cd "$work/$folder" && sh deploy/release.sh >/dev/null)
    (cd "$work/$folder/target/release" && sha256sum millpond millpond-head millpond-worker) > "$work/sums"
    cat "$work/sums"
    [ ! -e "$work/sums.first" ] || cmp "$work/sums.first" "$work/sums" || { echo 'the programs differ' >&2; exit 1; }
    mv "$work/sums" "$work/sums.first"
    # The programs were compared; a build is several hundred megabytes.
    rm -rf "${work:?}/${folder%%/*}"
done
echo 'the same bytes twice'
