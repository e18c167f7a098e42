#!/bin/sh
# Builds the Debian package and an SBOM into target/package/, and prints the package's path.
#
#   deploy/package.sh                    builds the programs first, as a release is (release.sh)
#   deploy/package.sh --programs DIR     takes them from there
set -eu
cd "$(dirname "$0")/.."
. deploy/tools.sh

case ${1-} in
    '') programs=$(sh deploy/release.sh) ;;
    --programs) programs=$(cd "${2:?--programs needs a folder}" && pwd) ;;
    *)
        echo "package.sh: $1: --programs DIR, or nothing" >&2
        exit 2
        ;;
esac
tool cargo-deb 3.8.0
tool cargo-cyclonedx 0.5.9

out=target/package
rm -rf "$out"
mkdir -p "$out/bin" "$out/completions"
cp "$programs/millpond" "$programs/millpond-head" "$programs/millpond-worker" "$out/bin/"
"$out/bin/millpond" man "$out/man" >&2
"$out/bin/millpond" completions bash > "$out/completions/millpond.bash"
"$out/bin/millpond" completions zsh > "$out/completions/_millpond"
"$out/bin/millpond" completions fish > "$out/completions/millpond.fish"

# Dates in the package are those of the sources.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH
cargo cyclonedx --quiet --format json --target all --override-filename millpond.cdx
mv millpond.cdx.json "$out/"
cargo deb --quiet --no-build --no-strip --output "$out/" >&2
ls "$PWD/$out"/*.deb
