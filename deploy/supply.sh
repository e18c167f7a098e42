#!/bin/sh
# What the programs are made of: licences, sources, duplicates, what must not be in there (deny.toml). Installs cargo-deny into target/tools.
set -eu
cd "$(dirname "$0")/.."
. deploy/tools.sh
tool cargo-deny 0.20.2
cargo deny --locked --offline check bans licenses sources
# Advisories come from a git repository, which not every builder reaches. Where it is reached, what it says counts.
if cargo deny --locked fetch db 2>/dev/null; then
    cargo deny --locked check advisories
else
    echo 'the database of advisories can not be reached from here: not checked' >&2
fi
