//! Names of files in a result: from whatever a task called them to what any archive reader can take.

use std::collections::{HashMap, HashSet};

use crate::domain::JobId;

/// `NAME-jN.zip`: what a job's bundle is called where nobody says how. A plain name in any folder, whatever the job is called.
pub fn archive_file_name(name: &str, id: JobId) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '+' | ' ');
    let name: String = name.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    // Neither hidden nor an option.
    let name = name.trim_start_matches(['.', '-', ' ']);
    if name.is_empty() { format!("{id}.zip") } else { format!("{name}-{id}.zip") }
}

/// One path component with `_` for what is no UTF-8 (each byte), control characters, `/`, `\` and `:` (both mean something on Windows).
pub(super) fn sanitise(raw: &[u8]) -> String {
    let mut name = String::with_capacity(raw.len());
    for chunk in raw.utf8_chunks() {
        name.extend(chunk.valid().chars().map(|c| if is_allowed(c) { c } else { '_' }));
        name.extend(chunk.invalid().iter().map(|_| '_'));
    }
    name
}

fn is_allowed(c: char) -> bool {
    !c.is_control() && !matches!(c, '/' | '\\' | ':')
}

/// Names for what lies in one folder, in the order given: sanitised and unlike each other.
///
/// Who needs no change keeps the name; of the others that come to the same the first free one of `x`, `x~2`, `x~3`… is given in order.
pub(super) fn assign(raw: &[Vec<u8>]) -> Vec<String> {
    let clean: Vec<String> = raw.iter().map(|raw| sanitise(raw)).collect();
    let is_kept = |(clean, raw): &(&String, &Vec<u8>)| clean.as_bytes() == raw.as_slice();
    let mut taken: HashSet<String> = clean.iter().zip(raw).filter(is_kept).map(|(clean, _)| clean.clone()).collect();
    let mut next = HashMap::new();
    let choose = |pair: (&String, &Vec<u8>)| if is_kept(&pair) { pair.0.clone() } else { free(pair.0, &mut taken, &mut next) };
    clean.iter().zip(raw).map(choose).collect()
}

/// `name`, or the first of `name~2`, `name~3`… that is not taken; takes it. `next` remembers where the search stood for a name.
fn free(name: &str, taken: &mut HashSet<String>, next: &mut HashMap<String, u32>) -> String {
    let number = next.entry(name.to_owned()).or_insert(1);
    loop {
        let candidate = if *number == 1 { name.to_owned() } else { format!("{name}~{number}") };
        *number = number.saturating_add(1);
        if taken.insert(candidate.clone()) {
            return candidate;
        }
    }
}

/// Whether a path stays as it is: relative, of sanitised components, none of them empty, `.` or `..`.
pub(super) fn is_clean(path: &str) -> bool {
    path.split('/').all(|part| !matches!(part, "" | "." | "..") && part.chars().all(is_allowed))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_archive_stays_in_the_current_folder() {
        let name = |name: &str| archive_file_name(name, JobId(7));
        assert_eq!(name("human"), "human-j7.zip");
        assert_eq!(name("../../etc/x"), "_.._etc_x-j7.zip");
        assert_eq!(name("-rf"), "rf-j7.zip");
        assert_eq!(name(""), "j7.zip");
    }

    #[test]
    fn what_a_reader_could_misread_becomes_an_underscore() {
        for (raw, clean) in [
            (&b"plain.txt"[..], "plain.txt"),
            (b"caf\xc3\xa9", "café"),
            (b"\xff\xfe!", "__!"),
            (b"a\nb\x1b[2J\x7f", "a_b_[2J_"),
            (b"C:\\x", "C__x"),
            (b"\xc2\x85", "_"),
        ] {
            assert_eq!(sanitise(raw), clean);
        }
    }

    #[test]
    fn equal_names_are_told_apart_and_the_clean_one_keeps_its_own() {
        let raw = [b"a:".to_vec(), b"a\\".to_vec(), b"a_".to_vec(), b"a_~2".to_vec()];
        assert_eq!(assign(&raw), ["a_~3", "a_~4", "a_", "a_~2"]);
    }

    #[test]
    fn a_path_that_leaves_is_not_clean() {
        for bad in ["", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a\\b", "c:x", "a\0"] {
            assert!(!is_clean(bad), "{bad}");
        }
        assert!(is_clean("a/b c/…/.hidden/..."));
    }

    proptest! {
        #[test]
        fn names_are_unique_and_clean(raw in proptest::collection::hash_set(proptest::collection::vec("[:_~2\\\\]".prop_map(|s| s.into_bytes()[0]), 1..4), 0..60)) {
            let raw: Vec<Vec<u8>> = raw.into_iter().collect();
            let names = assign(&raw);
            prop_assert!(names.iter().all(|name| is_clean(name)));
            prop_assert_eq!(names.iter().collect::<HashSet<_>>().len(), raw.len());
        }
    }
}
