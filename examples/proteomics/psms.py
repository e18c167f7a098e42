#!/usr/bin/env python3
"""Turns the output of X!Tandem into a table of peptide-spectrum matches that is the same in every run.

usage: psms.py RESULT.xml > psms.tsv

X!Tandem writes paths and times into its result and, with more than one thread, no fixed order. Here
one line stands for one spectrum and its best peptides (those with the smallest expectation value); the lines are sorted.
Standard library only.
"""

import sys
import xml.etree.ElementTree as ElementTree

COLUMNS = ("title", "charge", "peptide", "expect", "proteins")


def title_of(model):
    """The spectrum's title. X!Tandem adds the retention time after a blank."""
    for note in model.iterfind("group/note[@label='Description']"):
        words = (note.text or "").split()
        if words:
            return words[0]
    raise ValueError(f"the model {model.get('id')} names no spectrum; was the input an MGF with titles?")


def best_match(model):
    """(expectation value, peptides, proteins) of a model; a peptide may stand in several proteins."""
    found = []
    for protein in model.iterfind("protein"):
        name = protein.get("label", "").split()[0]
        for domain in protein.iterfind("peptide/domain"):
            found.append((float(domain.get("expect")), domain.get("seq"), name))
    least = min(expect for expect, _, _ in found)
    best = [match for match in found if match[0] == least]
    return least, sorted({peptide for _, peptide, _ in best}), sorted({name for _, _, name in best})


def rows(path):
    """The table's rows, unsorted."""
    for model in ElementTree.parse(path).getroot().iterfind("group[@type='model']"):
        expect, peptides, proteins = best_match(model)
        yield title_of(model), model.get("z"), ";".join(peptides), f"{expect:.2g}", ";".join(proteins)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print(*COLUMNS, sep="\t")
    for row in sorted(rows(sys.argv[1])):
        print(*row, sep="\t")


if __name__ == "__main__":
    main()
