#!/bin/sh
# Searches proteins of Escherichia coli among those of Sorangium cellulosum with BLAST, once as they are and once cut into chunks by Millpond:
# the hits must be the same, to the last digit. README.md says what it needs, ../common.sh what it takes from the environment. Ends with 0 and
# PASS, or with another code.
#   CHUNK     proteins in a chunk (100)
#   PROTEINS  how many to search (1000; the proteome has 4136)
set -eu

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=examples/common.sh
. "$here/../common.sh"
chunk=${CHUNK:-100}
count=${PROTEINS:-1000}
data=/usr/share/doc/openms/examples/TOPPAS/data
# With decoys behind it, which are left out.
proteome=$data/Identification/target_decoy_Ecoli_K12_TaxID_83333.proteomes.fasta
others=$data/BSA_Identification/18Protein_SoCe_Tr_detergents_trace.fasta

# Each result appears under its name only when it is complete, so that runs side by side can share them.
make_database() {
    [ ! -f "$work/db/db.psq" ] || return 0
    mkdir "$scratch/db"
    gzip -cdf "$(locate "$others")" > "$scratch/others.fasta"
    makeblastdb -in "$scratch/others.fasta" -dbtype prot -blastdb_version 4 -title others -out "$scratch/db/db" > "$scratch/db.log" \
        || { tail -n 5 "$scratch/db.log" >&2; fail "makeblastdb made no database"; }
    mv "$scratch/db" "$work/db"
}

make_proteins() {
    [ ! -f "$work/proteins-$count.fasta" ] || return 0
    gzip -cdf "$(locate "$proteome")" | awk -v count="$count" '/^>rev_/ || /^>/ && ++n > count { exit } { print }' > "$scratch/proteins.fasta"
    mv "$scratch/proteins.fasta" "$work/proteins-$count.fasta"
}

search_unsplit() {
    [ ! -f "$work/direct-$count.tsv" ] || return 0
    blastp -query "$work/proteins-$count.fasta" -db "$work/db/db" -evalue 1e-5 -outfmt 6 > "$scratch/direct.tsv"
    mv "$scratch/direct.tsv" "$work/direct-$count.tsv"
}

begin
needs python3 python3
needs blastp ncbi-blast+
needs_file "$proteome" openms-doc
needs_file "$others" openms-doc
make_database
make_proteins
echo "$(grep -c '^>' "$work/proteins-$count.fasta") proteins"
search_unsplit

job --name blast --split "fasta:$chunk" --merge concat --with "$here/search.sh" \
    --with "$work/db/db.phr" --with "$work/db/db.pin" --with "$work/db/db.psq" "$work/proteins-$count.fasta" \
    -- sh '{with:search.sh}' '{input}' '{with:db.phr}' '{with:db.pin}' '{with:db.psq}'
entry merged > "$scratch/merged.tsv"

echo "$(wc -l < "$scratch/merged.tsv") hits, of $(cut -f 1 "$scratch/merged.tsv" | sort -u | wc -l) proteins"
same "$work/direct-$count.tsv" "$scratch/merged.tsv" hits
