#!/bin/sh
# Builds the three programs as a release is: the same sources, lock file and compiler give the same bytes, whatever folder they lie in.
#
#   deploy/release.sh [TARGET_FOLDER]      (default: target)      prints the folder with the programs
set -eu
cd "$(dirname "$0")/.."
root=$(pwd -P)
target=${1:-"$root/target"}
cargo_home=${CARGO_HOME:-"$HOME/.cargo"}

# No path of this machine in the programs: neither from Rust, nor from what the C compiler makes of zstd and ring.
RUSTFLAGS="--remap-path-prefix=$target=/build --remap-path-prefix=$root=/millpond --remap-path-prefix=$cargo_home=/cargo"
CFLAGS="-ffile-prefix-map=$target=/build -ffile-prefix-map=$root=/millpond -ffile-prefix-map=$cargo_home=/cargo"
# Nothing asks for a date now; what should, must get that of the sources.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
export RUSTFLAGS CFLAGS SOURCE_DATE_EPOCH

cargo build --release --locked --bins --target-dir "$target" >&2
echo "$target/release"
