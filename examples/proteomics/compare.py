#!/usr/bin/env python3
"""Compares the matches in a bundle with those of the unsplit run, prints a short table, and says PASS or FAIL.

usage: compare.py BUNDLE.zip DIRECT.tsv TASKS ENDED [PAIRS CONFIDENT ALBUMIN]

TASKS is the number of tasks that the bundle must hold a table of, ENDED the exit code of millpond. With the three figures, both runs must
show them:
pairs of spectrum and peptide, those with an expectation value of at most 0.01, those of bovine serum albumin.
The archive is only read, never extracted. Standard library only.
"""

import csv
import io
import re
import sys
import zipfile
from collections import Counter

CONFIDENT = 0.01
ALBUMIN = "ALBU_BOVIN"


def read_table(text):
    """The rows of one table that psms.py wrote."""
    return list(csv.DictReader(text, delimiter="\t"))


def pairs(rows):
    """The set of (spectrum, peptide). Expectation values are left out: some move a little with the chunk."""
    return {(row["title"], row["peptide"]) for row in rows}


def figures(rows):
    """Pairs, confident ones, those of albumin."""
    confident = [row for row in rows if float(row["expect"]) <= CONFIDENT]
    return len(pairs(rows)), len(confident), sum(ALBUMIN in row["proteins"] for row in rows)


def show_failures(archive, names):
    """What the failed tasks last said."""
    for name in [name for name in names if name.startswith("failed/")][:3]:
        last = archive.read(name).decode(errors="replace").strip().splitlines()[-3:]
        print(f"{name}:", *last, sep="\n    ")


def read_bundle(path):
    """(rows of all tasks, number of tables)."""
    rows, tables = [], 0
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
        if damaged:
            sys.exit(f"FAIL: {path}: the checksum of {damaged} is wrong")
        names = sorted(archive.namelist())
        show_failures(archive, names)
        for name in names:
            if re.fullmatch(r"\d+/psms\.tsv", name):
                rows += read_table(io.StringIO(archive.read(name).decode()))
                tables += 1
    return rows, tables


def main():
    if len(sys.argv) not in (5, 8):
        sys.exit(__doc__)
    split, tables = read_bundle(sys.argv[1])
    with open(sys.argv[2], newline="") as file:
        direct = read_table(file)
    expected = tuple(int(figure) for figure in sys.argv[5:])

    print(f"{'':18}{'unsplit':>9}{'millpond':>10}")
    for label, one, other in zip(("pairs", f"at E <= {CONFIDENT}", "of serum albumin"), figures(direct), figures(split)):
        print(f"{label:18}{one:9}{other:10}")
    top, count = Counter(row["proteins"] for row in split).most_common(1)[0] if split else ("nothing", 0)
    print(f"on top: {top} ({count} of {len(split)})")

    complaints = [] if sys.argv[4] == "0" else [f"millpond ended with {sys.argv[4]}"]
    if tables != int(sys.argv[3]):
        complaints.append(f"{tables} tables in the bundle, expected {sys.argv[3]}")
    if len(split) != len(pairs(split)):
        complaints.append(f"{len(split) - len(pairs(split))} pairs stand in the bundle more than once")
    for title, peptide in sorted(pairs(split) ^ pairs(direct))[:10]:
        where = "millpond" if (title, peptide) in pairs(split) else "unsplit"
        complaints.append(f"{title} {peptide}: only in the {where} run")
    for label, rows in (("unsplit", direct), ("millpond", split)):
        if expected and figures(rows) != expected:
            complaints.append(f"{label}: figures {figures(rows)}, expected {expected}")
    if ALBUMIN not in top:
        complaints.append("bovine serum albumin is not on top")

    print(*(f"  {complaint}" for complaint in complaints), sep="\n", end="\n" if complaints else "")
    print("FAIL" if complaints else "PASS")
    sys.exit(bool(complaints))


if __name__ == "__main__":
    main()
