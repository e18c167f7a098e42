#!/bin/sh
# The command of one task: renders one frame of the film as a GIF.
#   frame.sh SCENE INDEX COUNT FILE
set -eu
clock=$(awk -v index_="$2" -v count="$3" 'BEGIN { printf "%.6f", index_ / count }')
# One thread: the slots of a worker are its cores already.
povray "+I$1" +Oframe.png +FN8 +W240 +H180 +A0.3 "+K$clock" +WT1 -D -GA > povray.log 2>&1 || { tail -n 20 povray.log >&2; exit 1; }
pngtopam frame.png > frame.ppm
# The same 256 colours for all frames would need all frames: each has its own.
pnmquant -quiet 256 frame.ppm | pamtogif -quiet > "$4"
