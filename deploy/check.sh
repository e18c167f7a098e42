#!/bin/bash
# Tries all of this folder that can be tried without a cloud. Root, on Debian or Ubuntu; installs what it needs.
#
#   deploy/check.sh [--quick] [PROGRAMS]
#
# PROGRAMS is the folder with the three built programs (default: target/release). --quick leaves out what takes minutes: the package, and the
# system that it is installed into.
set -euo pipefail
cd "$(dirname "$0")/.."
quick=
[ "${1-}" != --quick ] || { quick=yes; shift; }
programs=$(cd "${1:-target/release}" && pwd)

part() { printf -- '-- %s\n' "$*"; }
fail() { printf 'deploy/check.sh: %s\n' "$*" >&2; exit 1; }

work=$(mktemp -d)
started=()
clean() {
    for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait
    # What the system in there has started died with its namespace, and its mounts with it.
    rm -rf --one-file-system "$work"
}
trap clean EXIT
trap 'exit 1' INT TERM HUP

part what this needs
missing=()
needs() { command -v "$1" >/dev/null || missing+=("${2:-$1}"); }
needs shellcheck
needs cloud-init
needs docker-compose
needs curl
needs ip iproute2
needs dpkg-shlibdeps dpkg-dev
[ -n "$quick" ] || needs debootstrap
if [ ${#missing[@]} -gt 0 ]; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -q >/dev/null
    apt-get install -q -y --no-install-recommends "${missing[@]}" >/dev/null
fi
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    dockerfile-parse==2.0.1 kubernetes-validate==1.37.0 prometheus_client==0.22.1 python-hcl2==8.1.4 PyYAML==6.0.4
check() { "$work/venv/bin/python" deploy/check.py "$@"; }

part scripts
mapfile -t scripts < <(git ls-files deploy | while read -r file; do
    case $(head -n 1 "$file") in '#!/bin/sh' | '#!/bin/bash') echo "$file" ;; esac
done)
[ ${#scripts[@]} -ge 10 ] || fail "only ${#scripts[@]} scripts found"
# SC2016: programs in single quotes are for another shell, or for awk.
shellcheck --external-sources --exclude=SC2016 "${scripts[@]}"

part units
# As they will lie on a machine: with the programs in place.
units="$work/units"
mkdir -p "$units/bin"
for unit in deploy/systemd/*.service deploy/spot/*.service; do
    sed "s|=/usr/bin/|=$programs/|; s|=/usr/lib/millpond/|=$PWD/deploy/spot/|; /^Documentation=man:/d" "$unit" > "$units/$(basename "$unit")"
done
systemd-analyze verify "$units"/*.service > "$work/verify" 2>&1 || fail "$(cat "$work/verify")"
[ ! -s "$work/verify" ] || fail "$(cat "$work/verify")"
# In tenths, as the option wants it.
while read -r unit most; do
    systemd-analyze security --offline=yes --threshold="$most" "$units/millpond-$unit.service" > "$work/security" \
        || fail "millpond-$unit is exposed by more than $most tenths: $(tail -n 1 "$work/security")"
    tail -n 1 "$work/security"
done <<'END'
head 30
spot 30
worker 65
END

part cloud-init
for file in deploy/cloud-init/*.yaml; do
    cloud-init schema --config-file "$file"
done

part Kubernetes
check kubernetes deploy/kubernetes/*.yaml

part Docker
check dockerfile deploy/docker/Dockerfile
docker-compose -f deploy/docker/compose.yaml config --quiet

part Terraform
check terraform deploy/terraform/*.tf
if command -v terraform >/dev/null; then
    terraform fmt -check -diff deploy/terraform >&2
fi

part figures
# Those of a real head; the board, and what scales by one of them, must name no other.
"$programs/millpond-head" --listen 127.0.0.1:0 --data-dir "$work/head" > "$work/head.url" 2> "$work/head.log" &
head=$!
started+=("$head")
until [ -s "$work/head.url" ]; do
    kill -0 "$head" || fail "the head: $(cat "$work/head.log")"
    sleep 0.05
done
curl --silent --show-error --fail "$(sed 's/^listening on //' "$work/head.url")/metrics" > "$work/figures"
kill "$head"
check figures "$work/figures" deploy/grafana/millpond.json deploy/kubernetes/scale.yaml

part the notice of a spot machine
# Its worker is a process that says what it is asked; systemctl is a stand-in that passes the signal on.
mkdir "$work/spot"
cat > "$work/spot/systemctl" <<'END'
#!/bin/sh
case $1 in
    kill) kill -TERM "$(cat "$SPOT/pid")" ;;
    is-active) kill -0 "$(cat "$SPOT/pid")" 2>/dev/null ;;
    *) exit 64 ;;
esac
END
chmod 755 "$work/spot/systemctl"
for cloud in aws gcp azure; do
    rm -f "$work/spot/pid" "$work/spot/asked"
    # It goes on at the first signal, as a worker with a long task does, and ends at the second.
    SPOT="$work/spot" bash -c 'trap "echo >> $SPOT/asked; [ \$(wc -l < $SPOT/asked) -lt 2 ] || exit 0" TERM; echo $$ > $SPOT/pid; while sleep 0.1; do :; done' &
    worker=$!
    started+=("$worker")
    "$work/venv/bin/python" deploy/check.py metadata 0 "$cloud" > "$work/spot/port" &
    metadata=$!
    started+=("$metadata")
    until [ -s "$work/spot/pid" ] && [ -s "$work/spot/port" ]; do sleep 0.05; done
    SPOT="$work/spot" PATH="$work/spot:$PATH" CLOUD=$cloud METADATA="http://127.0.0.1:$(cat "$work/spot/port")" POLL_SECONDS=0.1 FINISH_SECONDS=2 \
        timeout 60 deploy/spot/spot-drain > "$work/spot/said" || fail "spot-drain on $cloud: $(cat "$work/spot/said")"
    wait "$worker" || fail "the worker was not asked twice on $cloud"
    kill "$metadata"
    [ "$(wc -l < "$work/spot/asked")" = 2 ] || fail "asked $(wc -l < "$work/spot/asked") times on $cloud"
done

part workers in an allocation
# Real workers without a head, started by stand-ins for what starts processes on other machines; they leave, as nothing comes.
mkdir "$work/batch"
printf '#!/bin/sh\nshift\nexec "$@"\n' > "$work/batch/srun"
printf '#!/bin/sh\nshift\nexec "$@"\n' > "$work/batch/pbs_tmrsh"
cat > "$work/batch/millpond-worker" <<END
#!/bin/bash
echo "\$*" >> "$work/batch/started"
exec "$programs/millpond-worker" --head http://127.0.0.1:9 "\${@/#10m/1s}"
END
chmod 755 "$work/batch"/*
printf 'here\nhere\nthere\n' > "$work/batch/nodes"
(
    export PATH="$work/batch:$PATH" TMPDIR="$work/batch" MILLPOND_JOIN=mp1.none
    # One by one: where a failure is looked at, `set -e` is off.
    cd "$work/batch" \
        && SLURM_CPUS_PER_TASK=2 SLURM_MEM_PER_NODE=1000 SLURM_JOB_ID=7 timeout 60 bash "$OLDPWD/deploy/batch/slurm.sh" \
        && HOME="$work/batch" PBS_JOBID=8.pbs PBS_NODEFILE=nodes NCPUS=2 timeout 60 bash "$OLDPWD/deploy/batch/pbs.sh"
) > "$work/batch/said" 2>&1 || fail "batch: $(cat "$work/batch/said")"
[ "$(wc -l < "$work/batch/started")" = 3 ] || fail "not one worker on each machine: $(cat "$work/batch/started" "$work/batch/said")"
! find "$work/batch" -mindepth 1 -name '*millpond-*' ! -name millpond-worker | grep . || fail 'a worker in an allocation left something behind'

if [ -n "$quick" ]; then
    echo 'deploy: the quick checks passed'
    exit
fi

part the package
package=$(sh deploy/package.sh --programs "$programs")
dpkg-deb --info "$package" | grep -E '^ (Package|Version|Depends|Installed-Size)'
dpkg-deb --contents "$package" > "$work/contents"
for file in usr/bin/millpond-head usr/lib/systemd/system/millpond-head.service usr/lib/sysusers.d/millpond.conf usr/share/man/man1/millpond.1.gz \
    usr/share/bash-completion/completions/millpond usr/share/doc/millpond/sbom.cdx.json usr/lib/millpond/spot-drain; do
    grep -q " \./$file\$" "$work/contents" || fail "the package has no $file"
done
grep -q '"bomFormat": *"CycloneDX"' target/package/millpond.cdx.json || fail 'the SBOM is none'

part a system of its own
archive=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | head -n 1)
# shellcheck disable=SC1091
release=$(. /etc/os-release && echo "$VERSION_CODENAME")
system="$work/system"
debootstrap --variant=minbase --include=systemd-standalone-sysusers "$release" "$system" "$archive" > "$work/debootstrap" 2>&1 \
    || fail "debootstrap: $(tail -n 5 "$work/debootstrap")"
cp "$package" "$system/millpond.deb"
cp deploy/check-installed.sh "$system/"
# Its own processes, mounts and network: port 7663 is free in there, and everything dies with the first process.
unshare --mount --pid --fork --kill-child --net --ipc --uts \
    sh -c 'ip link set lo up && exec chroot "$0" /bin/sh /check-installed.sh' "$system"

echo 'deploy: all checks passed'
