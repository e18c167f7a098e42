#!/bin/sh
# The command of one task: searches proteins in a BLAST database and prints the hits, one a line.
#   search.sh PROTEINS DATABASE_FILE…
set -eu
proteins=$1
shift
# blastp wants the files of its database side by side; each shared file lies in a folder of its own.
for file; do ln -s "$file" .; done
blastp -query "$proteins" -db db -evalue 1e-5 -outfmt 6
