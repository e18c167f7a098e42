#!/bin/sh
# A protein search over 3,136 real spectra, once as it is and once cut into chunks by Millpond: both must find the same.
# README.md says what it needs, ../common.sh what it takes from the environment. Ends with 0 and PASS, or with another code.
#   CHUNK  spectra in a chunk (200)
set -eu

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=examples/common.sh
. "$here/../common.sh"
chunk=${CHUNK:-200}
examples=/usr/share/doc/openms/examples
mzmls="$examples/BSA/BSA1.mzML $examples/BSA/BSA2.mzML $examples/BSA/BSA3.mzML"
fasta=$examples/TOPPAS/data/BSA_Identification/18Protein_SoCe_Tr_detergents_trace_target_decoy.fasta

install_needs() {
    needs python3 python3
    needs tandem tandem-mass
    for file in $mzmls "$fasta"; do needs_file "$file" openms-doc; done
}

# Each result appears under its name only when it is complete, so that runs side by side can share them.
make_spectra() {
    [ ! -f "$work/spectra.mgf" ] || return 0
    located=
    for file in $mzmls; do located="$located $(locate "$file")"; done
    # shellcheck disable=SC2086 # a list; the packages' paths have no blanks, and a $work with blanks is refused
    python3 "$here/mzml_to_mgf.py" $located > "$scratch/spectra.mgf"
    mv "$scratch/spectra.mgf" "$work/spectra.mgf"
}

make_database() {
    [ ! -f "$work/db.fasta" ] || return 0
    gzip -cdf "$(locate "$fasta")" > "$scratch/db.fasta"
    mv "$scratch/db.fasta" "$work/db.fasta"
}

# X!Tandem on the whole file, without Millpond.
search_unsplit() {
    [ ! -f "$work/direct.tsv" ] || return 0
    mkdir "$scratch/direct" "$scratch/direct.out"
    (cd "$scratch/direct" && THREADS=2 sh "$here/search.sh" "$work/spectra.mgf" "$work/db.fasta" "$here/psms.py" "$scratch/direct.out") \
        2> "$scratch/direct.log" || { tail -n 5 "$scratch/direct.log" >&2; fail "the unsplit search failed"; }
    mv "$scratch/direct.out/psms.tsv" "$work/direct.tsv"
}

# The job: `search run -o FILE` or `search submit`. Files that the tasks need travel with it; a worker has only X!Tandem and Python.
search() {
    verb=$1
    shift
    "$millpond" "$verb" --name proteomics --split "mgf:$chunk" --retries 2 \
        --with "$work/db.fasta" --with "$here/search.sh" --with "$here/psms.py" "$@" "$work/spectra.mgf" \
        -- sh '{with:search.sh}' '{input}' '{with:db.fasta}' '{with:psms.py}' '{output}'
}

# Both of these leave the job's exit code in $ended. The bundle of a job with failed tasks is looked into as well: it says why.
search_on_cluster() {
    job=$(search submit -q)
    echo "submitted $job to $MILLPOND_HEAD"
    ended=0
    "$millpond" wait "$job" --format json > "$scratch/job.json" || ended=$?
    "$millpond" results "$job" -o "$scratch/bundle.zip"
}

search_here() {
    export XDG_STATE_HOME="$scratch/state"
    ended=0
    search run --format json -o "$scratch/bundle.zip" > "$scratch/job.json" || ended=$?
}

figures_if_known() {
    for file in $mzmls "$fasta"; do
        gzip -cdf "$(locate "$file")" | sha256sum | sed "s/ .*/  $(basename "$file")/"
    done > "$scratch/SHA256SUMS"
    if ! cmp -s "$scratch/SHA256SUMS" "$here/SHA256SUMS"; then
        echo "note: these are not the files of Debian's openms-doc 2.6.0, so the known figures are not checked" >&2
    elif [ "$chunk" = 200 ]; then
        echo 134 55 108
    fi
}

# How often the end was in the range that Millpond had said, from a tenth of the tasks on: eight of ten times at least.
foretold() {
    python3 - "$scratch/job.json" << 'END'
import json, sys

record = json.load(open(sys.argv[1])).get("eta_record") or {"checks": 0, "inside": 0}
print("time left: {inside} of {checks} times the end was in the range".format(**record))
if record["inside"] < 0.8 * record["checks"]:
    sys.exit("FAIL: the time left was said wrongly too often")
END
}

begin
install_needs
make_spectra
make_database
search_unsplit
spectra=$(grep -c '^BEGIN IONS' "$work/spectra.mgf")
tasks=$(((spectra + chunk - 1) / chunk))
echo "$spectra spectra, $(grep -c '^>' "$work/db.fasta") proteins, $tasks tasks"

if [ -n "${MILLPOND_HEAD:-}" ]; then
    search_on_cluster
else
    search_here
fi
[ -f "$scratch/bundle.zip" ] || fail "there is no bundle; millpond ended with $ended"
foretold
# shellcheck disable=SC2046 # three figures, or none
python3 "$here/compare.py" "$scratch/bundle.zip" "$work/direct.tsv" "$tasks" "$ended" $(figures_if_known)
