#!/bin/sh
# What the programs are made of: licences, sources, duplicates, what must not be in there (deny.toml). Installs cargo-deny into target/tools.
set -eu
cd "$(dirname "$0")/.."
. deploy/tools.sh
tool cargo-deny 0.20.2
cargo deny --locked --offline check bans licenses sources
# Advisories come from a git repository, and nothing here reaches for one unasked: a person does, where it is reached.
if [ "${1:-}" = --advisories ]; then
    cargo deny --locked check advisories
else
    echo 'advisories are not checked: deploy/supply.sh --advisories fetches their database' >&2
fi
