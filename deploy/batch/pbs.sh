#!/bin/bash
#PBS -N millpond
#PBS -l select=4:ncpus=16:mem=60gb
#PBS -l place=scatter
#PBS -l walltime=04:00:00
#PBS -v MILLPOND_JOIN
# Workers inside a PBS allocation, one on each of its machines. MILLPOND_JOIN: a token with a use for each. `qsub -v MILLPOND_JOIN pbs.sh`
#
# With nothing to do for ten minutes they end by themselves, and the allocation with them. Five minutes before it ends they are told to finish.
set -euo pipefail
: "${MILLPOND_JOIN:?export it: millpond token create --role worker --ttl 4h --uses 4}"
# Of the walltime above.
run_seconds=$((4 * 3600 - 300))
slots=${NCPUS:-16}

# In the home folder, which all machines see: what starts processes there hands on neither the environment nor, for sure, quotes. For us alone to
# read, as the token is in it.
script=$(umask 077 && mktemp "$HOME/.millpond-pbs-XXXXXX")
trap 'rm -f "$script"' EXIT
printf 'export MILLPOND_JOIN=%q\n' "$MILLPOND_JOIN" > "$script"
# What is on a local disk: a worker's folder must not be shared by two machines.
cat >> "$script" <<END
folder=\$(mktemp -d "\${TMPDIR:-/tmp}/millpond-XXXXXX")
trap 'chmod -R u+w "\$folder"; rm -rf "\$folder"' EXIT
timeout --signal=TERM $run_seconds millpond-worker --dir "\$folder" --slots $slots --cpus $slots --label "pbs=$PBS_JOBID" --idle-exit 10m || true
END

workers=()
mapfile -t hosts < <(sort -u "$PBS_NODEFILE")
for host in "${hosts[@]}"; do
    pbs_tmrsh "$host" bash "$script" < /dev/null &
    workers+=($!)
done
wait "${workers[@]}"
