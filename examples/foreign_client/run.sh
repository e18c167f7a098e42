#!/bin/sh
# Runs client.py against a head and a worker of its own: makes a Python environment in a temporary folder, starts both, cleans up.
# Ends with 0 and PASS, or with another code. Needs python3 with its venv module (Debian: python3-venv), and pip's package index or cache.
#
# From the environment:
#   BIN     the folder with millpond-head and millpond-worker (default: target/release of this repository, then target/debug)
#   PYTHON  a Python that has the packages of requirements.txt: then nothing is installed
set -eu

here=$(cd "$(dirname "$0")" && pwd)
target=$(cd "$here/../.." && pwd)/target

fail() {
    echo "run.sh: $*" >&2
    exit 1
}

if [ -z "${BIN:-}" ]; then
    for BIN in "$target/release" "$target/debug"; do [ ! -x "$BIN/millpond-head" ] || break; done
fi
for program in millpond-head millpond-worker; do
    [ -x "$BIN/$program" ] || fail "$BIN/$program is not there; run 'cargo build --release' in the repository, or set BIN"
done

work=$(mktemp -d)
# Tasks of a worker that is started as root run as users of their own, who go through here.
chmod o+x "$work"
head=
worker=
cleanup() {
    # Twice: the first signal asks the worker to drain.
    for pid in $worker $worker $head; do kill "$pid" 2> /dev/null || true; done
    for pid in $worker $head; do wait "$pid" 2> /dev/null || true; done
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

if [ -z "${PYTHON:-}" ]; then
    python3 -m venv "$work/venv" > "$work/venv.log" 2>&1 || { cat "$work/venv.log" >&2; fail "python3 can't make an environment"; }
    PYTHON=$work/venv/bin/python
    "$PYTHON" -m pip install -q --disable-pip-version-check -r "$here/requirements.txt" || fail "pip could not install requirements.txt"
fi

# At a port of the system's choice; the line that the head prints names it.
"$BIN/millpond-head" --listen 127.0.0.1:0 --data-dir "$work/head" > "$work/head.out" 2> "$work/head.log" &
head=$!
tries=0
until url=$(sed -n 's/^listening on //p' "$work/head.out") && [ -n "$url" ]; do
    kill -0 "$head" 2> /dev/null || { cat "$work/head.log" >&2; fail "the head did not start"; }
    tries=$((tries + 1))
    [ "$tries" -lt 100 ] || fail "the head did not say where it listens within 10 s"
    sleep 0.1
done
"$BIN/millpond-worker" --head "$url" --slots 4 --dir "$work/worker" 2> "$work/worker.log" &
worker=$!

code=0
"$PYTHON" "$here/client.py" "${url#http://}" || code=$?
[ "$code" = 0 ] || tail -n 20 "$work/head.log" "$work/worker.log" >&2
exit "$code"
