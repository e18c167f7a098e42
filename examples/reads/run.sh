#!/bin/sh
# Aligns 10,000 reads to the genome of the phage lambda, once as they are and once cut into chunks by Millpond: the records must be the same.
# README.md says what it needs, ../common.sh what it takes from the environment. Ends with 0 and PASS, or with another code.
#   CHUNK  reads in a chunk (1000)
set -eu

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=examples/common.sh
. "$here/../common.sh"
chunk=${CHUNK:-1000}
examples=/usr/share/doc/bowtie2/examples
reads=$examples/reads/reads_1.fq
genome=$examples/reference/lambda_virus.fa

# Each result appears under its name only when it is complete, so that runs side by side can share them.
make_index() {
    [ ! -f "$work/index/lambda.fa.sa" ] || return 0
    mkdir "$scratch/index"
    gzip -cdf "$(locate "$genome")" > "$scratch/index/lambda.fa"
    bwa index "$scratch/index/lambda.fa" 2> "$scratch/index.log" || { tail -n 5 "$scratch/index.log" >&2; fail "bwa made no index"; }
    mv "$scratch/index" "$work/index"
}

align_unsplit() {
    [ ! -f "$work/direct.sam" ] || return 0
    bwa mem -v 1 "$work/index/lambda.fa" "$(locate "$reads")" > "$scratch/direct.all.sam" 2> "$scratch/direct.log"
    samtools view "$scratch/direct.all.sam" > "$scratch/direct.sam"
    mv "$scratch/direct.sam" "$work/direct.sam"
}

begin
needs python3 python3
needs bwa bwa
needs samtools samtools
needs_file "$reads" bowtie2-examples
needs_file "$genome" bowtie2-examples
make_index
align_unsplit

index=$work/index/lambda.fa
job --name reads --split "fastq:$chunk" --merge concat --with "$here/align.sh" \
    --with "$index.amb" --with "$index.ann" --with "$index.bwt" --with "$index.pac" --with "$index.sa" "$(locate "$reads")" \
    -- sh '{with:align.sh}' '{input}' '{with:lambda.fa.amb}' '{with:lambda.fa.ann}' '{with:lambda.fa.bwt}' '{with:lambda.fa.pac}' '{with:lambda.fa.sa}'
entry merged > "$scratch/merged.sam"

# What a person goes on with: one sorted file.
{ samtools dict -u . "$index" && cat "$scratch/merged.sam"; } | samtools sort -o "$work/reads.bam" 2> "$scratch/sort.log"
samtools quickcheck "$work/reads.bam" || fail "$work/reads.bam is no whole BAM file"

echo "$(wc -l < "$scratch/merged.sam") records, $(samtools view -c -F 0x904 "$work/reads.bam") reads aligned"
same "$work/direct.sam" "$scratch/merged.sam" records
