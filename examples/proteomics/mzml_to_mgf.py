#!/usr/bin/env python3
"""Writes the MS2 spectra of mzML files as one MGF, in the order of the arguments.

usage: mzml_to_mgf.py FILE.mzML[.gz]... > spectra.mgf

Every peak with an intensity above zero is kept; m/z has four decimals, intensity one. A title is
`FILE.SCAN.SCAN.CHARGE`, so it names its spectrum in the whole set. Standard library only.
"""

import array
import base64
import gzip
import os
import re
import sys
import xml.etree.ElementTree as ElementTree
import zlib

MZML = "{http://psi.hupo.org/ms/mzml}"

# Terms of the PSI-MS ontology (psi-ms.obo) and the unit ontology that are read here.
MS_LEVEL = "MS:1000511"
SCAN_START_TIME = "MS:1000016"
SELECTED_ION_MZ = "MS:1000744"
SELECTED_ION_CHARGE = "MS:1000041"
SELECTED_ION_INTENSITY = "MS:1000042"
MZ_ARRAY = "MS:1000514"
INTENSITY_ARRAY = "MS:1000515"
FLOAT_64 = "MS:1000523"
ZLIB = "MS:1000574"
MINUTE = "UO:0000031"


def terms(element):
    """The ontology terms that stand directly in an element: accession to value."""
    return {term.get("accession"): term.get("value") for term in element.findall(MZML + "cvParam")}


def numbers(binary_data):
    """The numbers of one binaryDataArray."""
    flags = terms(binary_data)
    raw = base64.b64decode(binary_data.findtext(MZML + "binary") or "")
    if ZLIB in flags:
        raw = zlib.decompress(raw)
    values = array.array("d" if FLOAT_64 in flags else "f", raw)
    if sys.byteorder == "big":  # mzML is little-endian
        values.byteswap()
    return values


def peaks(spectrum):
    """Pairs of m/z and intensity."""
    found = {}
    for binary_data in spectrum.iter(MZML + "binaryDataArray"):
        flags = terms(binary_data)
        for kind in (MZ_ARRAY, INTENSITY_ARRAY):
            if kind in flags:
                found[kind] = numbers(binary_data)
    return zip(found.get(MZ_ARRAY, ()), found.get(INTENSITY_ARRAY, ()))


def retention_seconds(spectrum):
    """When the spectrum was taken, in seconds, or None."""
    for term in spectrum.iter(MZML + "cvParam"):
        if term.get("accession") == SCAN_START_TIME:
            return float(term.get("value")) * (60 if term.get("unitAccession") == MINUTE else 1)
    return None


def mgf_lines(spectrum, stem):
    """The lines of one MGF record."""
    ion = terms(spectrum.find(".//" + MZML + "selectedIon"))
    scan = re.search(r"scan=(\d+)", spectrum.get("id", ""))
    scan = int(scan.group(1)) if scan else int(spectrum.get("index")) + 1
    charge = ion.get(SELECTED_ION_CHARGE) or "0"
    intensity = ion.get(SELECTED_ION_INTENSITY)
    seconds = retention_seconds(spectrum)

    yield "BEGIN IONS"
    yield f"TITLE={stem}.{scan}.{scan}.{charge}"
    yield f"PEPMASS={float(ion[SELECTED_ION_MZ]):.6f}" + (f" {intensity}" if intensity else "")
    if charge != "0":
        yield f"CHARGE={charge}+"
    if seconds is not None:
        yield f"RTINSECONDS={seconds:.2f}"
    yield f"SCANS={scan}"
    for mz, height in peaks(spectrum):
        if height > 0:
            yield f"{mz:.4f} {height:.1f}"
    yield "END IONS"


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    written = 0
    for path in sys.argv[1:]:
        stem = os.path.basename(path).split(".")[0]
        with (gzip.open if path.endswith(".gz") else open)(path, "rb") as file:
            for _, element in ElementTree.iterparse(file):
                if element.tag != MZML + "spectrum":
                    continue
                if terms(element).get(MS_LEVEL) == "2":
                    print("\n".join(mgf_lines(element, stem)))
                    written += 1
                element.clear()  # or the whole file ends up in memory
    print(f"{written} MS2 spectra", file=sys.stderr)


if __name__ == "__main__":
    main()
