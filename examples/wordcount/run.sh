#!/bin/sh
# Counts the words of a text in chunks and adds the counts up; they must be those of one pass over the whole text.
# Needs a built millpond and what every Debian has (sh, awk, sort, gzip). Ends with 0 and PASS, or with another code.
#
# From the environment:
#   MILLPOND       the program (default: target/release/millpond of this repository, then the one in PATH)
#   MILLPOND_HEAD  set: `millpond run` uses that cluster; unset: it starts one for this job
#   WORK           a folder that is kept, with text.txt and counts.zip (default: a temporary one)
set -eu
export LC_ALL=C

here=$(cd "$(dirname "$0")" && pwd)

# shellcheck source=examples/common.sh
. "$here/../common.sh"

# 10,000 lines of an invented language whose words follow Zipf's law: the word of rank r is about 1/r as frequent as the first.
# The random numbers are Park and Miller's (a = 16807, m = 2^31 - 1), which are exact in awk's doubles: the text is always the same.
make_text() {
    awk '
        function random() { state = (state * 16807) % 2147483647; return state / 2147483647 }
        function word(rank,  w) {
            w = ""
            do { w = w syllable[rank % 20]; rank = int(rank / 20) } while (rank > 0)
            return w
        }
        BEGIN {
            state = 42
            for (i = split("ba ce di fo gu ha ki lo mu ne pa re si to vu wa xi yo zu el", s); i > 0; i--) syllable[i - 1] = s[i]
            for (line = 0; line < 10000; line++) {
                text = ""
                for (n = 4 + int(random() * 12); n > 0; n--) text = text " " word(int(exp(random() * log(3000))))
                print toupper(substr(text, 2, 1)) substr(text, 3) "."
            }
        }'
}

# The command of one task: reads its chunk from standard input.
# shellcheck disable=SC2016 # awk's fields
count='
    { gsub(/[^A-Za-z]+/, " "); for (i = 1; i <= NF; i++) seen[tolower($i)]++ }
    END { for (word in seen) print word, seen[word] | "sort" }'

add_up() {
    awk '{ sum[$1] += $2 } END { for (word in sum) print word, sum[word] }' | sort
}

has() {
    command -v "$1" > /dev/null
}

# Prints the entry `merged` of a zip with whatever is there; ends with 127 if nothing is.
read_merged() {
    if has unzip; then
        unzip -p "$1" merged
    elif has python3; then
        python3 -c 'import sys, zipfile; sys.stdout.buffer.write(zipfile.ZipFile(sys.argv[1]).read("merged"))' "$1"
    elif has bsdtar; then
        bsdtar -xOf "$1" merged
    elif has busybox && busybox --list | grep -qx unzip; then
        busybox unzip -p "$1" merged
    elif has gzip; then
        gunzip_merged "$1"
    else
        return 127
    fi
}

# gzip reads an entry of a zip if that comes first. So the archive is cut where the entry begins: 30 bytes before its name, with "PK\3\4".
gunzip_merged() {
    grep -abo merged "$1" | cut -d: -f1 | {
        while read -r name; do
            start=$((name - 30 + 1))
            [ "$(tail -c "+$start" "$1" | head -c 4 | od -An -tx1)" = ' 50 4b 03 04' ] || continue
            tail -c "+$start" "$1" | gzip -dcq || [ $? = 2 ] # 2 is a warning: more entries follow
            return
        done
        return 1
    }
}

keep=
cleanup() {
    if [ -z "$keep" ]; then rm -rf "$work"; fi
}
if [ -n "${WORK:-}" ]; then
    mkdir -p "$WORK"
    work=$(cd "$WORK" && pwd)
else
    work=$(mktemp -d)
    trap cleanup EXIT
    [ -n "${MILLPOND_HEAD:-}" ] || export XDG_STATE_HOME="$work/state"
fi
trap 'exit 130' INT
trap 'exit 143' TERM

millpond=$(find_millpond)
make_text > "$work/text.txt"
echo "$(wc -l < "$work/text.txt") lines, $(wc -w < "$work/text.txt") words"

"$millpond" run --name wordcount --split lines:500 --merge concat -o "$work/counts.zip" "$work/text.txt" -- awk "$count"

if read_merged "$work/counts.zip" > "$work/merged"; then
    add_up < "$work/merged" > "$work/split.txt"
else
    [ $? = 127 ] || fail "the entry 'merged' of $work/counts.zip can't be read"
    keep=yes
    echo "NOT CHECKED: the bundle is complete, but nothing here can look into it (unzip, python3, bsdtar, busybox or gzip would)."
    echo "It is $work/counts.zip; with unzip: unzip -p $work/counts.zip merged"
    exit 0
fi
awk "$count" < "$work/text.txt" > "$work/whole.txt"

sort -k2,2nr -k1,1 "$work/split.txt" | head -n 5
echo "$(wc -l < "$work/split.txt") different words"
if cmp "$work/whole.txt" "$work/split.txt"; then
    echo PASS
else
    echo "FAIL: the counts differ from those of one pass"
    exit 1
fi
