#!/bin/sh
# Searches spectra in a protein database with X!Tandem and leaves a table of matches: the command of one task.
#
# usage: search.sh SPECTRA.mgf DATABASE.fasta PSMS.py OUTPUT_FOLDER
#
# Works in the current folder, which should be an empty one of its own. THREADS (1) is the number of threads.
# The same input gives the same bytes in OUTPUT_FOLDER/psms.tsv; X!Tandem's own result, with its dates and paths, is not kept.
set -eu

spectra=$1 database=$2 psms=$3 output=$4

# X!Tandem wants its paths inside XML. Links with plain names spare us any escaping.
ln -s "$spectra" spectra.mgf
ln -s "$database" database.fasta

cat > taxonomy.xml <<'XML'
<?xml version="1.0"?>
<bioml label="x! taxon-to-file matching list">
  <taxon label="all"><file format="peptide" URL="database.fasta"/></taxon>
</bioml>
XML

# `refine, spectrum synthesis` counts even without refinement: it weighs the predicted fragments.
{
    echo '<?xml version="1.0"?>'
    echo '<bioml>'
    while IFS='=' read -r label value; do
        printf '  <note type="input" label="%s">%s</note>\n' "$label" "$value"
    done <<PARAMETERS
list path, taxonomy information=taxonomy.xml
protein, taxon=all
spectrum, path=spectra.mgf
spectrum, threads=${THREADS:-1}
output, path=result.xml
output, path hashing=no
output, results=valid
output, maximum valid expectation value=0.1
output, sort results by=spectrum
output, proteins=yes
output, spectra=yes
output, sequences=no
output, histograms=no
spectrum, parent monoisotopic mass error plus=20
spectrum, parent monoisotopic mass error minus=20
spectrum, parent monoisotopic mass error units=ppm
spectrum, parent monoisotopic mass isotope error=yes
spectrum, fragment mass type=monoisotopic
spectrum, fragment monoisotopic mass error=0.4
spectrum, fragment monoisotopic mass error units=Daltons
spectrum, dynamic range=100.0
spectrum, total peaks=50
spectrum, minimum peaks=15
spectrum, minimum parent m+h=500.0
spectrum, minimum fragment mz=150.0
spectrum, maximum parent charge=4
spectrum, use noise suppression=yes
spectrum, sequence batch size=1000
residue, modification mass=57.021464@C
residue, potential modification mass=15.994915@M
protein, cleavage site=[RK]|{P}
protein, cleavage semi=no
scoring, maximum missed cleavage sites=2
scoring, minimum ion count=4
scoring, b ions=yes
scoring, y ions=yes
refine=no
refine, spectrum synthesis=yes
PARAMETERS
    echo '</bioml>'
} > parameters.xml

# Its chatter goes to standard error: it holds times, and standard output would be part of the result.
tandem parameters.xml >&2
python3 "$psms" result.xml > "$output/psms.tsv"
