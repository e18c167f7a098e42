//! The rules of the house that a compiler does not know: floors, purity, sizes, words.
//!
//! It reads the sources as text. Each rule is a function from text to findings, tested on snippets that break it.
//! `MILLPOND_ROOT` names the repository when the test is built elsewhere.

use std::fs;
use std::path::{Path, PathBuf};

/// A module may use only modules of lower floors; on floor 0 each other.
const FLOORS: &[(&str, u8)] = &[
    ("domain", 0),
    ("limits", 0),
    ("engine", 1),
    ("split", 1),
    ("codec", 1),
    ("unpack", 1),
    // Below all that touches a disk or a connection; nothing in a release build.
    ("failpoint", 1),
    ("archive", 2),
    ("store", 2),
    ("blobs", 2),
    ("bundle", 2),
    ("exec", 2),
    ("pki", 2),
    ("audit", 2),
    ("actors", 3),
    ("rpc", 4),
    ("web", 5),
    ("cli", 5),
    ("daemon", 6),
];
/// What floors 0 and 1 must not mention: input and output, clocks, randomness, threads, anything asynchronous.
const IMPURE: &[&str] = &["std::fs", "std::net", "tokio", "SystemTime", "Instant::now", "rand", "thread", "async", "await"];
/// What the actors must not mention: they see channels of domain messages.
const WIRE: &[&str] = &["tonic", "axum"];
/// What no text of the repository may hold: unfinished work, tests switched off without a reason, paths of one machine. In pieces, so that
/// this file does not hold it.
const FORBIDDEN: &[&str] = &[
    concat!("to", "do!"),
    concat!("unimpl", "emented!"),
    concat!("db", "g!"),
    concat!("#[", "ignore]"),
    concat!("FIX", "ME"),
    concat!("X", "XX"),
    concat!("<<<<", "<<< "),
    concat!(">>>>", ">>> "),
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
];
const FILE_MAX_LINES: usize = 600;
const BIN_MAX_LINES: usize = 80;
/// Longer files, each with the reason.
const LONG_FILES: &[(&str, &str)] = &[];
const TEXT_ENDINGS: &[&str] =
    &["rs", "toml", "md", "proto", "sh", "py", "service", "example", "sysusers", "html", "css", "js", "json", "yml", "yaml", "txt", "snap"];

fn floor_of(module: &str) -> Option<u8> {
    FLOORS.iter().find(|(name, _)| *name == module).map(|(_, floor)| *floor)
}

/// The code alone: comments, strings and character literals become blanks, line ends stay.
fn code_of(text: &str) -> String {
    let source: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < source.len() {
        let end = skip_text(&source, at);
        if end == at {
            code.push(source[at]);
            at += 1;
        } else {
            code.extend(source[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    code
}

/// Where a comment or literal that begins here ends; here, if none begins.
fn skip_text(source: &[char], at: usize) -> usize {
    let ahead = |n: usize| source.get(at + n).copied().unwrap_or('\0');
    let after_word = at > 0 && is_word(source[at - 1]);
    match (ahead(0), ahead(1)) {
        ('/', '/') => source[at..].iter().position(|c| *c == '\n').map_or(source.len(), |n| at + n),
        ('/', '*') => end_of_block_comment(source, at),
        ('"', _) => end_of_string(source, at + 1),
        ('r', '"' | '#') if !after_word || source[at - 1] == 'b' => end_of_raw_string(source, at),
        ('\'', '\\') => source[at + 3..].iter().position(|c| *c == '\'').map_or(source.len(), |n| at + 4 + n),
        // Not a lifetime.
        ('\'', _) if ahead(2) == '\'' => at + 3,
        _ => at,
    }
}

fn end_of_block_comment(source: &[char], at: usize) -> usize {
    let (mut depth, mut at) = (0usize, at);
    while at < source.len() {
        match (source[at], source.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    source.len()
}

fn end_of_string(source: &[char], mut at: usize) -> usize {
    while at < source.len() && source[at] != '"' {
        at += if source[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(source.len())
}

fn end_of_raw_string(source: &[char], at: usize) -> usize {
    let hashes = source[at + 1..].iter().take_while(|c| **c == '#').count();
    if source.get(at + 1 + hashes) != Some(&'"') {
        return at;
    }
    let closes = |n: &usize| source[*n] == '"' && source[n + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes;
    (at + 2 + hashes..source.len()).find(closes).map_or(source.len(), |n| n + 1 + hashes)
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Code without the items behind `#[cfg(test)]`; line numbers stay.
fn without_tests(code: &str) -> String {
    let mut rest = String::with_capacity(code.len());
    let mut tail = code;
    while let Some(at) = tail.find("#[cfg(test)]") {
        let (before, item) = tail.split_at(at);
        let (skipped, after) = item.split_at(end_of_item(item));
        rest.push_str(before);
        rest.extend(skipped.chars().filter(|c| *c == '\n'));
        tail = after;
    }
    rest + tail
}

/// Where the first item ends: behind its `;`, or its outermost braces.
fn end_of_item(code: &str) -> usize {
    let mut depth = 0usize;
    for (at, c) in code.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 && matches!(c, ';' | '}') {
            return at + c.len_utf8();
        }
    }
    code.len()
}

fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

/// Where `word` stands by itself: what is before and behind it is no part of a longer word, as far as it begins and ends like one.
fn finds<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    text.match_indices(word).map(|(at, _)| at).filter(move |at| {
        // A path that goes on from something is not absolute.
        let goes_on = |c: char| is_word(c) || word.starts_with('/') && "-.~}*".contains(c);
        let before = text[..*at].chars().next_back().is_some_and(goes_on) && word.starts_with(|c| is_word(c) || c == '/');
        let behind = text[at + word.len()..].chars().next().is_some_and(is_word) && word.ends_with(is_word);
        !before && !behind
    })
}

/// The modules that code names by `crate::…`, or by enough `super::` in a file of that depth, with the lines.
fn modules_used(code: &str, depth: usize) -> Vec<(usize, String)> {
    let mut used = Vec::new();
    for at in finds(code, "crate::") {
        used.extend(heads(&code[at + "crate::".len()..]).into_iter().map(|head| (line_of(code, at), head)));
    }
    for at in finds(code, "super::").filter(|at| !code[..*at].ends_with("super::")) {
        let path = &code[at..];
        let ups = path.split("::").take_while(|part| *part == "super").count();
        if ups >= depth {
            used.extend(heads(&path[ups * "super::".len()..]).into_iter().map(|head| (line_of(code, at), head)));
        }
    }
    used
}

/// The first names of a path, or of each path in a group.
fn heads(path: &str) -> Vec<String> {
    let word = |text: &str| text.trim_start().chars().take_while(|c| is_word(*c)).collect::<String>();
    let Some(group) = path.strip_prefix('{') else { return vec![word(path)] };
    let (mut depth, mut names, mut from) = (0i32, Vec::new(), 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            '}' | ',' if depth == 0 => {
                names.push(word(&group[from..at]));
                from = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

/// Uses of a floor that is not below.
fn upward_uses(module: &str, depth: usize, code: &str) -> Vec<String> {
    let Some(floor) = floor_of(module) else { return vec![format!("module `{module}` has no floor: give it one in FLOORS")] };
    let allowed = |other: &str| other == module || floor_of(other).is_none_or(|other| other < floor || other == 0 && floor == 0);
    let bad = modules_used(code, depth).into_iter().filter(|(_, other)| !allowed(other));
    bad.map(|(line, other)| format!("line {line}: `{module}` (floor {floor}) uses `{other}`, which is not below it")).collect()
}

/// Words that code must not hold.
fn words_in(code: &str, words: &[&str]) -> Vec<String> {
    let found = words.iter().flat_map(|word| finds(code, word).map(move |at| (line_of(code, at), *word)));
    found.map(|(line, word)| format!("line {line}: `{word}`")).collect()
}

fn too_long(path: &str, text: &str, max: usize) -> Option<String> {
    let lines = text.lines().count();
    let excused = LONG_FILES.iter().any(|(file, _)| *file == path);
    (lines > max && !excused).then(|| format!("{lines} lines, {max} at most: there is a noun to find"))
}

/// Logic that stands in a `mod.rs`.
fn functions_in_mod(code: &str) -> Vec<String> {
    finds(&without_tests(code), "fn").map(|at| format!("line {}: a function in mod.rs", line_of(code, at))).collect()
}

fn root() -> PathBuf {
    std::env::var_os("MILLPOND_ROOT").map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from)
}

/// All text files below a folder, by their path from the root, without what is built or hidden.
fn texts(root: &Path, below: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root.join(below)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if name.starts_with('.') || name == "target" || path.is_symlink() {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().map_or(name == "justfile", |ending| TEXT_ENDINGS.contains(&&*ending.to_string_lossy())) {
                let short = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
                found.push((short, String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned()));
            }
        }
    }
    found.sort();
    found
}

/// Rust files of the library as (path, module, depth of its module path, text).
fn library() -> Vec<(String, String, usize, String)> {
    let files = texts(&root(), "src").into_iter().filter(|(path, _)| path.ends_with(".rs"));
    let files = files.filter(|(path, _)| !path.starts_with("src/bin/") && path != "src/lib.rs");
    let files = files.map(|(path, text)| {
        let inside = path.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
        let module = inside.split('/').next().unwrap_or_default().to_owned();
        let depth = inside.split('/').count();
        (path, module, depth, text)
    });
    files.collect()
}

fn assert_clean(what: &str, findings: impl IntoIterator<Item = (String, String)>) {
    let findings: Vec<String> = findings.into_iter().map(|(path, finding)| format!("  {path}: {finding}")).collect();
    assert!(findings.is_empty(), "{what}:\n{}", findings.join("\n"));
}

fn each<'a>(path: &'a str, findings: Vec<String>) -> impl Iterator<Item = (String, String)> + 'a {
    findings.into_iter().map(move |finding| (path.to_owned(), finding))
}

#[test]
fn a_module_uses_only_what_stands_below_it() {
    let library = library();
    assert!(library.len() > 50, "the sources are here");
    assert_clean(
        "upward uses",
        library.iter().flat_map(|(path, module, depth, text)| each(path, upward_uses(module, *depth, &code_of(text)))),
    );
}

#[test]
fn decisions_are_pure() {
    let pure = library().into_iter().filter(|(path, module, ..)| floor_of(module) <= Some(1) && !path.contains("tests"));
    let pure: Vec<_> = pure.collect();
    assert_clean("not pure", pure.iter().flat_map(|(path, _, _, text)| each(path, words_in(&without_tests(&code_of(text)), IMPURE))));
}

#[test]
fn actors_know_nothing_of_the_wire() {
    let actors: Vec<_> = library().into_iter().filter(|(_, module, ..)| module == "actors").collect();
    assert_clean("the wire in an actor", actors.iter().flat_map(|(path, _, _, text)| each(path, words_in(&code_of(text), WIRE))));
}

#[test]
fn files_are_short() {
    let sources = texts(&root(), "src").into_iter().filter(|(path, _)| path.ends_with(".rs"));
    let max = |path: &str| if path.starts_with("src/bin/") { BIN_MAX_LINES } else { FILE_MAX_LINES };
    assert_clean("too long", sources.filter_map(|(path, text)| too_long(&path, &text, max(&path)).map(|finding| (path, finding))));
}

#[test]
fn a_mod_rs_holds_no_logic() {
    let mods: Vec<_> = library().into_iter().filter(|(path, ..)| path.ends_with("/mod.rs")).collect();
    assert_clean("logic in mod.rs", mods.iter().flat_map(|(path, _, _, text)| each(path, functions_in_mod(&code_of(text)))));
}

#[test]
fn no_text_holds_a_forbidden_word() {
    let texts = texts(&root(), "");
    assert_clean("forbidden", texts.iter().flat_map(|(path, text)| each(path, words_in(text, FORBIDDEN))));
}

#[test]
fn an_upward_use_is_found_however_it_is_written() {
    let bad = |module, depth, code: &str| !upward_uses(module, depth, &code_of(code)).is_empty();
    assert!(bad("domain", 2, "use crate::engine::Roster;"));
    assert!(bad("engine", 2, "fn f() { crate::store::open() }"));
    assert!(bad("store", 2, "use crate::{domain::Error, blobs::{Segment, Upload}};"));
    assert!(bad("split", 2, "use crate::{\n    domain::{Error, Chunk},\n    codec,\n};"));
    assert!(bad("blobs", 2, "use super::super::exec::Runner;"));
    assert!(bad("cli", 2, "pub(in crate::web) fn f() {}"));
    assert!(bad("attic", 1, ""), "a module without a floor");
}

#[test]
fn a_downward_use_is_not_found() {
    let good = |module, depth, code: &str| upward_uses(module, depth, &code_of(code)).is_empty();
    assert!(good("engine", 2, "use crate::domain::{JobId, TaskNo};\nuse crate::{engine::now::Now, limits};"));
    assert!(good("domain", 2, "use crate::limits::NAME_MAX_BYTES;"));
    assert!(good("engine", 2, "// use crate::store;\nconst S: &str = \"crate::store\"; const R: &str = r#\"crate::\"store\"#;"));
    assert!(good("engine", 2, "/* crate::store /* nested */ crate::rpc */ fn f<'a>(x: &'a str) -> char { '\"' }"));
    assert!(good("engine", 3, "use super::store_of_this_module;\nuse super::super::rank;"));
    assert!(good("rpc", 1, "use mycrate::daemon; use super::daemonic;"));
}

#[test]
fn what_a_pure_floor_must_not_mention_is_found_outside_tests() {
    let bad = |code: &str| words_in(&without_tests(&code_of(code)), IMPURE).len();
    assert_eq!(bad("use std::fs;\nfn f() { std::time::SystemTime::now(); }"), 2);
    assert_eq!(bad("let now = std::time::Instant::now(); std::thread::sleep(d); rand::random()"), 3);
    assert_eq!(bad("use std::fs::File; use tokio::time; async fn f() {}"), 3);
    assert_eq!(bad("// tokio\nlet operand = threads; Instant::new(std::format!(\"rand\"))"), 0);
    assert_eq!(bad("fn f() {}\n#[cfg(test)]\nmod tests { fn g() { std::fs::read(\"x\"); } }\nuse tokio;"), 1);
    assert_eq!(bad("#[cfg(test)]\nuse std::fs;\nfn f() {}"), 0);
    assert_eq!(words_in("use tonic::Status;\nuse axum::Router;", WIRE), ["line 1: `tonic`", "line 2: `axum`"]);
}

#[test]
fn long_files_and_logic_in_mod_rs_are_found() {
    assert!(too_long("src/x.rs", &"\n".repeat(601), 600).is_some());
    assert!(too_long("src/x.rs", &"\n".repeat(600), 600).is_none());
    assert_eq!(functions_in_mod("mod a;\npub use a::A;\npub(crate) fn helper() {}"), ["line 3: a function in mod.rs"]);
    assert!(functions_in_mod("mod fnord;\n#[cfg(test)]\nmod tests { fn f() { { } } }\npub use a::A;").is_empty());
}

#[test]
fn forbidden_words_are_found_and_their_like_is_not() {
    let found = |text: &str| words_in(text, FORBIDDEN).len();
    for word in FORBIDDEN {
        assert_eq!(found(&format!("a {word} b")), 1, "{word}");
    }
    assert_eq!(found(&format!("cat {}.ssh and ls {}main", FORBIDDEN[6], FORBIDDEN[7])), 2);
    assert_eq!(found("#[ignore = \"writes 300 MB\"]"), 0, "with a reason it may be");
    assert_eq!(found("mktemp -d /tmp/aXXXXXX; my_todo!; homework/x; slot-3/work/x"), 0);
}
