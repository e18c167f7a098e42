#!/bin/bash
#SBATCH --job-name=millpond
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --mem=60G
#SBATCH --time=04:00:00
#SBATCH --signal=B:TERM@300
# Workers inside a Slurm allocation, one on each of its machines. MILLPOND_JOIN: a token with a use for each.
#
# Five minutes before the allocation ends they are told to finish, and take no more; with nothing to do for ten minutes they end by themselves,
# and the allocation with them.
set -euo pipefail
: "${MILLPOND_JOIN:?export it: millpond token create --role worker --ttl 4h --uses 4}"
export MILLPOND_JOIN

# What is on a local disk, if there is one: a worker's folder must not be shared by two machines.
worker='
folder=$(mktemp -d "${SLURM_TMPDIR:-${TMPDIR:-/tmp}}/millpond-XXXXXX")
trap "chmod -R u+w \"$folder\"; rm -rf \"$folder\"" EXIT
trap "kill -TERM \$worker" TERM
millpond-worker --dir "$folder" --slots "$SLURM_CPUS_PER_TASK" --cpus "$SLURM_CPUS_PER_TASK" --mem "$((SLURM_MEM_PER_NODE * 9 / 10))M" \
    --label "slurm=$SLURM_JOB_ID" --idle-exit 10m & worker=$!
until wait "$worker"; do kill -0 "$worker" 2>/dev/null || break; done
'
srun --kill-on-bad-exit=0 bash -c "$worker" &
workers=$!
trap 'kill -TERM "$workers"' TERM
until wait "$workers"; do kill -0 "$workers" 2>/dev/null || break; done
