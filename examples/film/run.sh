#!/bin/sh
# Renders the frames of a short film, one a task, and joins them: the film is WORK/film.gif. Some of the frames are rendered without
# Millpond as well, and must be the same. README.md says what it needs, ../common.sh what it takes from the environment. Ends with 0 and PASS,
# or with another code.
#   FRAMES  how many (48)
set -eu

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=examples/common.sh
. "$here/../common.sh"
frames=${FRAMES:-48}

begin
needs python3 python3
needs povray povray
needs pnmquant netpbm
needs gifsicle gifsicle

job --name film --array "0-$((frames - 1))" --with "$here/scene.pov" --with "$here/frame.sh" \
    -- sh '{with:frame.sh}' '{with:scene.pov}' '{index}' '{count}' '{output}/frame.gif'

at=0
while [ "$at" -lt "$frames" ]; do
    name=$(printf '%06d' "$at")
    entry "$name/frame.gif" > "$scratch/$name.gif"
    at=$((at + 1))
done
gifsicle --no-warnings --delay 4 --loopcount "$scratch"/0*.gif > "$work/film.gif"

for at in 0 $((frames / 2)) $((frames - 1)); do
    mkdir "$scratch/direct-$at"
    (cd "$scratch/direct-$at" && sh "$here/frame.sh" "$here/scene.pov" "$at" "$frames" frame.gif)
    cmp "$scratch/direct-$at/frame.gif" "$scratch/$(printf '%06d' "$at").gif" || { echo "FAIL: frame $at differs from one rendered by itself"; exit 1; }
done
joined=$(gifsicle --info "$work/film.gif" | sed -n 's/.* \([0-9]*\) images$/\1/p')
echo "$joined frames, $(wc -c < "$work/film.gif") bytes"
[ "$joined" = "$frames" ] || { echo "FAIL: the film should have $frames frames"; exit 1; }
echo PASS
