#!/bin/sh
# Inside a system of its own (check.sh): installs the package, starts head and worker as their units would, runs a job, removes the package.
set -eu
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp DEBIAN_FRONTEND=noninteractive LC_ALL=C
fail() { printf 'in the system: %s\n' "$*" >&2; exit 1; }
mount -t proc proc /proc

dpkg --install /millpond.deb > /tmp/dpkg 2>&1 || fail "$(cat /tmp/dpkg)"
getent passwd millpond >/dev/null || fail 'the package made no user for the head'
getent passwd millpond-worker >/dev/null || fail 'the package made no user for tasks'

# start UNIT [NAME=VALUE…]: what a unit starts, as its user, with its environment and state folder.
start() {
    unit=/usr/lib/systemd/system/$1.service
    of_unit() { sed -n "s/^$1=//p" "$unit"; }
    user=$(of_unit User)
    state=/var/lib/$(of_unit StateDirectory)
    install -d -o "$user" -g "$user" -m "$(of_unit StateDirectoryMode)" "$state"
    line=$(of_unit ExecStart)
    shift
    # shellcheck disable=SC2046
    setpriv --reuid "$user" --regid "$user" --clear-groups --no-new-privs --bounding-set -all \
        env -i HOME="$state" PATH="$PATH" STATE_DIRECTORY="$state" $(of_unit Environment | sed 's/^"//; s/"$//') "$@" \
        sh -c "exec $line"
}

start millpond-head > /tmp/head 2>&1 &
tries=0
until grep -q 'listening on' /tmp/head; do
    sleep 0.1
    tries=$((tries + 1))
    [ $tries -lt 300 ] || fail "the head does not accept: $(cat /tmp/head)"
done
url=$(sed -n 's/^listening on //p' /tmp/head)
export MILLPOND_HEAD="$url"
start millpond-worker MILLPOND_HEAD="$url" > /tmp/worker 2>&1 &

seq 10000 > /tmp/numbers.txt
job=$(millpond submit --split lines:1000 --merge concat /tmp/numbers.txt -- awk '{ sum += $1 } END { print sum }')
millpond wait "$job" --timeout 60s || fail "the job failed: $(cat /tmp/head /tmp/worker)"
millpond results "$job" -o /tmp/sums.zip
[ "$(millpond logs "$job.0")" = 500500 ] || fail "another sum: $(millpond logs "$job.0")"
[ "$(stat -c %U /var/lib/millpond)" = millpond ] || fail 'the head does not run as its user'
millpond show "$job"

dpkg --purge millpond > /tmp/dpkg 2>&1 || fail "$(cat /tmp/dpkg)"
[ ! -e /usr/bin/millpond-head ] || fail 'the package leaves a program behind'
[ -d /var/lib/millpond ] || fail 'the package removed the jobs'
