#!/bin/sh
# The command of one task: aligns reads to the reference whose index is given, and prints the records, without a header.
#   align.sh READS INDEX_FILE…
set -eu
reads=$1
shift
# bwa wants its index files side by side under one name; each shared file lies in a folder of its own.
for file; do ln -s "$file" .; done
bwa mem -v 1 lambda.fa "$reads" > alignments.sam
samtools view alignments.sam
