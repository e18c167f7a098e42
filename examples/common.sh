# What the run.sh of several examples share. It is sourced, by a script that has set `here` to its own folder.
#
# From the environment:
#   MILLPOND       the program (default: target/release/millpond of this repository, then the one in PATH)
#   MILLPOND_HEAD  set: submit to that cluster, wait, fetch the results; unset: `millpond run`
#   WORK           a folder that is kept; runs that share it share the inputs and the unsplit run (default: a temporary one)
# shellcheck shell=sh
# shellcheck disable=SC2154 # `here` is the caller's

fail() {
    echo "run.sh: $*" >&2
    exit 1
}

find_millpond() {
    built=$here/../../target/release/millpond
    if [ -n "${MILLPOND:-}" ]; then
        [ -x "$MILLPOND" ] || fail "MILLPOND=$MILLPOND is no program; build it, or name another"
        echo "$MILLPOND"
    elif [ -x "$built" ]; then
        echo "$built"
    else
        command -v millpond || fail "no millpond found; run 'cargo build --release' in the repository, or set MILLPOND"
    fi
}

# Sets `work`, `scratch` (of this run alone) and `millpond`.
begin() {
    case ${WORK:-} in
        '')
            work=$(mktemp -d)
            trap 'rm -rf "$work"' EXIT
            ;;
        *[[:space:]]*) fail "WORK=$WORK: choose a folder without blanks in its path" ;;
        *)
            mkdir -p "$WORK"
            work=$(cd "$WORK" && pwd)
            ;;
    esac
    trap 'exit 130' INT
    trap 'exit 143' TERM
    scratch=$(mktemp -d "$work/run.XXXXXX")
    millpond=$(find_millpond)
    case $millpond in /*) ;; *) millpond=$PWD/$millpond ;; esac
}

# Installs Debian packages; says what to do where it can't.
install_packages() {
    if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
        fail "$* is missing, a package of Debian's; install it as root with 'apt-get install $*'"
    fi
    echo "installing $*" >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" > "$work/apt.log" 2>&1 && return
    apt-get update > "$work/apt.log" 2>&1 || true
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" > "$work/apt.log" 2>&1 \
        || { tail -n 5 "$work/apt.log" >&2; fail "apt-get could not install $*"; }
}

# needs PROGRAM PACKAGE: installs the package unless the program is there.
needs() {
    command -v "$1" > /dev/null || install_packages "$2"
}

# Prints where a file of a package is: packed or not, in the system or unpacked into $work. Nothing if it is nowhere.
locate() {
    for candidate in "$1" "$1.gz" "$work/unpacked$1" "$work/unpacked$1.gz"; do
        [ ! -f "$candidate" ] || { echo "$candidate"; return; }
    done
}

# needs_file FILE PACKAGE: installs the package unless the file is there. Images of Debian for containers leave /usr/share/doc out when they
# install a package: there it is unpacked by hand.
needs_file() {
    [ -n "$(locate "$1")" ] || install_packages "$2"
    [ -n "$(locate "$1")" ] || {
        (cd "$work" && apt-get download "$2" > apt.log 2>&1 && dpkg-deb -x "$2"_*.deb unpacked && rm "$2"_*.deb) \
            || fail "apt-get could not download $2; see $work/apt.log"
    }
    [ -n "$(locate "$1")" ] || fail "$2 holds no $1; Debian 12's version does"
}

# job [OPTION…] [INPUT] -- COMMAND…: runs it, here or on the cluster; the bundle is $scratch/bundle.zip. All its tasks have to succeed.
job() {
    if [ -n "${MILLPOND_HEAD:-}" ]; then
        id=$("$millpond" submit -q "$@")
        echo "submitted $id to $MILLPOND_HEAD"
        "$millpond" wait "$id"
        "$millpond" results "$id" -o "$scratch/bundle.zip"
    else
        XDG_STATE_HOME="$scratch/state" "$millpond" run -o "$scratch/bundle.zip" "$@"
    fi
}

# Prints an entry of the bundle.
entry() {
    python3 -c 'import sys, zipfile; sys.stdout.buffer.write(zipfile.ZipFile(sys.argv[1]).read(sys.argv[2]))' "$scratch/bundle.zip" "$1"
}

# same FILE FILE WHAT: says PASS; or which of WHAT differ, and ends with 1.
same() {
    if cmp "$1" "$2"; then
        echo PASS
    else
        echo "FAIL: the $3 differ from those of an unsplit run"
        exit 1
    fi
}
