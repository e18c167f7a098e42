#!/usr/bin/env bash
# Stands in for podman or docker, by the name that it is called by, without a registry and without namespaces: what it was told is noted in a
# log, and the command runs as it is. A container of podman is below its client; one of docker is started by the daemon (`stand_in.sh serve`).
# POND_TEST is the folder of the test.
set -u
state="$POND_TEST/containers"
log="$POND_TEST/$(basename "$0").log"
has() { [ -e "$state/image.${1//\//_}" ]; }
note() { echo "$*" >> "$log"; }
fail() { echo "$2" >&2; exit "$1"; }

serve() {
    mkdir -p "$state"
    mkfifo "$state/door"
    # Open for both, so that it never comes to an end.
    exec 3<> "$state/door"
    while read -r name <&3; do
        [ "$name" = end ] && exit
        (
            exec 3<&-
            client=$(cat "$state/$name.client")
            exec < "/proc/$client/fd/0" > "/proc/$client/fd/1" 2> "/proc/$client/fd/2"
            setsid bash -c 'echo $$ > "$1.pid"; . "$1.command"; cd "$dir" && exec "${command[@]}"' bash "$state/$name"
            echo $? > "$state/$name.exit.new"
            mv "$state/$name.exit.new" "$state/$name.exit"
        ) &
    done
}

# What a daemon does with a container's processes.
all_of() {
    group=$(cat "$state/$2.pid" 2> /dev/null) && kill "-$1" "-$group" 2> /dev/null
}

run() {
    local name='' dir=/ user='' told="$*" image code
    local -a variables=() as=() command
    while :; do
        case $1 in
            --rm | --init | --no-healthcheck | --interactive) shift ;;
            --name) name=$2; shift 2 ;;
            --workdir) dir=$2; shift 2 ;;
            --user) user=$2; shift 2 ;;
            --env) variables+=("$2"); shift 2 ;;
            --*) shift 2 ;;
            *) break ;;
        esac
    done
    image=$1
    shift
    note "run $told"
    has "$image" || fail 125 "Error: $image: image not known"
    case $1 in nope) fail 127 "Error: crun: executable file \`nope\` not found in \$PATH: No such file or directory" ;; esac
    [ "$(id -u)" = 0 ] && as=(setpriv "--reuid=${user%:*}" "--regid=${user#*:}" --clear-groups)
    command=(env -i PATH=/usr/bin:/bin "${variables[@]}" "${as[@]}" "$@")
    : > "$state/$name.here"
    case $0 in
        *docker)
            declare -p command dir > "$state/$name.command"
            echo $$ > "$state/$name.client"
            echo "$name" > "$state/door"
            until [ -e "$state/$name.exit" ]; do sleep 0.02; done
            code=$(cat "$state/$name.exit")
            ;;
        *)
            (cd "$dir" && exec "${command[@]}")
            code=$?
            ;;
    esac
    rm -f "$state/$name".*
    exit "$code"
}

mkdir -p "$state"
verb=$1
shift
case $verb in
    serve) serve ;;
    run) run "$@" ;;
    version) note version; [ -e "$POND_TEST/unwell" ] && fail 125 "Error: it is unwell"; echo 5.0.0 ;;
    info) echo "[]" ;;
    image) has "$4" || fail 1 "Error: $4: no such object" ;;
    pull)
        note "pull $2"
        case $2 in missing*) fail 125 "Error: initializing source docker://$2: name unknown" ;; esac
        until [ ! -e "$POND_TEST/pull-waits" ]; do sleep 0.02; done
        : > "$state/image.${2//\//_}"
        ;;
    ps) for file in "$state"/*.here; do [ -e "$file" ] && basename "$file" .here; done; exit 0 ;;
    pause) note "pause $1"; all_of STOP "$1" ;;
    unpause) note "unpause $1"; all_of CONT "$1" ;;
    rm)
        shift 2
        for name; do
            note "rm $name"
            all_of KILL "$name"
            rm -f "$state/$name".*
        done
        ;;
    *) fail 125 "Error: unrecognized command $verb" ;;
esac
