//! What is written is whole, and what was changed since is found: by stories, and by changes at random.

use std::sync::mpsc;

use proptest::prelude::*;

use super::*;
use crate::audit::{Chain, copy, len, read, verify};
use crate::domain::{Principal, PrincipalId, Role};

fn record(what: &str) -> Record {
    Record {
        at: WallTime(1_700_000_000_000_000),
        who: Some(Principal { id: PrincipalId::from_random(7), name: "ana".into(), role: Role::Submitter }),
        from: "10.0.0.7:1".into(),
        method: "/millpond.v1.JobService/KillJob".into(),
        what: what.into(),
        outcome: Outcome::Done,
        reason: String::new(),
        request_id: String::new(),
        omitted: 0,
    }
}

/// Notes so many, and waits for all.
fn note(log: &AuditLog, count: usize) {
    let (told, done) = mpsc::channel();
    for no in 0..count {
        let told = told.clone();
        log.note(record(&format!("j{no}")), Box::new(move |written| told.send(written).unwrap()));
    }
    (0..count).for_each(|_| done.recv().unwrap().unwrap());
}

fn open(dir: &Path) -> AuditLog {
    AuditLog::open_with(dir, WallTime(0), 2_000).unwrap()
}

/// An audit of some files.
fn written(count: usize) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    note(&open(dir.path()), count / 2);
    let log = open(dir.path());
    (0..count - count / 2).for_each(|_| note(&log, 1));
    dir
}

fn findings(dir: &Path) -> Vec<String> {
    verify(dir, None).unwrap().1
}

/// All lines, with the file that each is in.
fn all_lines(dir: &Path) -> Vec<(PathBuf, String)> {
    let files = files(dir).unwrap();
    let lines = files.into_iter().flat_map(|(_, path)| {
        let text = fs::read_to_string(&path).unwrap();
        text.lines().map(|line| (path.clone(), line.to_owned())).collect::<Vec<_>>()
    });
    lines.collect()
}

/// The place of each line in the chain.
fn all_links(dir: &Path) -> Vec<Link> {
    let lines = all_lines(dir).into_iter().enumerate();
    lines.map(|(at, (_, line))| Link::of(at as u64 + 1, line.as_bytes())).collect()
}

fn put_lines(lines: &[(PathBuf, String)], dir: &Path) {
    for (_, path) in files(dir).unwrap() {
        let text: String = lines.iter().filter(|(of, _)| *of == path).map(|(_, line)| format!("{line}\n")).collect();
        fs::write(path, text).unwrap();
    }
}

#[test]
fn lines_go_on_over_files_and_starts_and_are_whole() {
    let dir = written(40);
    assert!(files(dir.path()).unwrap().len() > 3);
    let (chain, findings) = verify(dir.path(), None).unwrap();
    assert_eq!((chain.lines(), chain.last().unwrap().seq, findings), (40, 40, Vec::new()));
    let log = open(dir.path());
    assert_eq!(log.last(), chain.last().unwrap());
    for first in [0, 1, 2, 17, 40, 41] {
        let mut from_here = Chain::new(first);
        read(dir.path(), first, log.last(), &mut |line| {
            from_here.line(line);
            true
        })
        .unwrap();
        assert_eq!(from_here.lines(), 41 - first.max(1));
        assert_eq!(from_here.finish(log.last()), Vec::<String>::new(), "from {first}");
    }
    let mut some = 0;
    read(dir.path(), 1, log.last(), &mut |_| {
        some += 1;
        some < 5
    })
    .unwrap();
    assert_eq!(some, 5, "nobody listens any more");
}

#[test]
fn a_line_is_found_in_a_large_file_without_reading_it_all() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(super::super::reader::file_name(1));
    let pad = "x".repeat(500);
    let line = |seq: u64| format!("{{\"seq\":{seq},\"prev\":\"{:064}\",\"pad\":\"{pad}\"}}\n", 0);
    let last = 4000;
    let text: String = (1..=last).map(|seq| if seq == 1500 { format!("damaged {pad}\n") } else { line(seq) }).collect();
    fs::write(&path, &text).unwrap();
    let end = Link { seq: last, ..Link::START };
    for first in [1, 2, 1499, 1500, 1501, 2000, 3999, last] {
        let mut seen = Vec::new();
        read(dir.path(), first, end, &mut |line| {
            seen.push(super::super::chain::numbers(line).map(|(seq, _)| seq));
            seen.len() < 3
        })
        .unwrap();
        // A line that can't be read comes wherever it is met.
        seen.retain(Option::is_some);
        assert_eq!(seen.first(), Some(&Some(if first == 1500 { 1501 } else { first })), "from {first}: {seen:?}");
        let begin = super::super::reader::not_behind(&path, first).unwrap();
        let far = text[..begin as usize].lines().count() as u64;
        assert!(far < first && (first - far) * 600 < 3 * 4 * 16 * 1024, "{first} is read from line {far} on");
    }
}

#[test]
fn a_line_that_was_cut_by_a_crash_goes_and_nothing_is_damaged() {
    let dir = written(5);
    let (_, path) = files(dir.path()).unwrap().pop().unwrap();
    let mut file = File::options().append(true).open(&path).unwrap();
    file.write_all(b"{\"seq\":6,\"prev\":\"12").unwrap();
    let log = open(dir.path());
    assert_eq!(log.last().seq, 5);
    note(&log, 1);
    assert_eq!((findings(dir.path()), log.last().seq), (Vec::new(), 6));
}

#[test]
fn a_mark_that_was_left_behind_by_a_loss_of_power_is_no_damage() {
    let dir = written(5);
    let early = Mark::read(dir.path()).unwrap();
    note(&open(dir.path()), 3);
    Mark::open(dir.path()).unwrap().put(early).unwrap();
    let log = open(dir.path());
    assert_eq!(log.last().seq, 8);
    note(&log, 1);
    assert_eq!(findings(dir.path()), Vec::<String>::new());
}

#[test]
fn a_file_that_was_begun_just_before_a_crash_is_gone_on_with() {
    let dir = written(5);
    fs::write(dir.path().join(file_name(6)), "").unwrap();
    let log = open(dir.path());
    note(&log, 2);
    assert_eq!((findings(dir.path()), log.last().seq), (Vec::new(), 7));
}

#[test]
fn a_cut_end_is_noticed_at_the_next_start_and_at_every_check_after_it() {
    let dir = written(20);
    let mut lines = all_lines(dir.path());
    lines.truncate(12);
    put_lines(&lines, dir.path());
    assert_eq!(findings(dir.path()), ["lines 13 to 20 are missing: the end was cut off"]);
    let log = open(dir.path());
    assert_eq!(log.last().seq, 21);
    note(&log, 2);
    assert_eq!(findings(dir.path()), ["lines 13 to 20 are missing"]);
    let said = all_lines(dir.path())[12].1.clone();
    assert!(said.contains("\"seq\":21") && said.contains("damaged") && said.contains("lines 13 to 20 are missing"), "{said}");
}

#[test]
fn a_last_line_that_was_changed_and_files_that_are_gone_are_noticed() {
    let dir = written(20);
    let mut lines = all_lines(dir.path());
    let last = lines.last_mut().unwrap();
    last.1 = last.1.replace("\"ana\"", "\"ben\"");
    put_lines(&lines, dir.path());
    assert_eq!(findings(dir.path()), ["line 20 was changed: it is the last, and the mark has another hash of it"]);
    note(&open(dir.path()), 1);
    assert_eq!(findings(dir.path()).len(), 1);
    let dir = written(20);
    files(dir.path()).unwrap().iter().for_each(|(_, path)| fs::remove_file(path).unwrap());
    assert_eq!(findings(dir.path()), ["lines 1 to 20 are missing: the end was cut off"]);
    note(&open(dir.path()), 1);
    assert_eq!(findings(dir.path()), ["lines 1 to 20 are missing"]);
    let dir = written(20);
    fs::remove_file(dir.path().join("mark")).unwrap();
    assert!(findings(dir.path())[0].contains("`mark`"));
    drop(open(dir.path()));
    assert!(all_lines(dir.path())[20].1.contains("`mark` was missing"));
}

#[test]
fn a_flood_of_refused_calls_is_counted_and_not_written_out() {
    let dir = tempfile::tempdir().unwrap();
    let log = AuditLog::open(dir.path(), WallTime(0)).unwrap();
    let (told, done) = mpsc::channel();
    let refused = || Record { outcome: Outcome::Refused("no".into()), ..record("x") };
    const FLOOD: usize = 5_000;
    for _ in 0..FLOOD {
        let told = told.clone();
        log.note(refused(), Box::new(move |written| told.send(written).unwrap()));
    }
    (0..FLOOD).for_each(|_| done.recv().unwrap().unwrap());
    note(&log, 1);
    let noted = all_lines(dir.path()).len() - 1;
    assert!(noted >= AUDIT_REFUSALS_PER_SECOND_MAX as usize && noted < FLOOD / 10, "{noted}");
    let omitted: u64 = all_lines(dir.path())
        .iter()
        .map(|(_, line)| serde_json::from_str::<serde_json::Value>(line).unwrap()["omitted"].as_u64().unwrap_or(0))
        .sum();
    assert_eq!(omitted as usize + noted, FLOOD, "every one of them is counted");
    let mut refusals = Refusals::default();
    let (begin, other) = (Instant::now(), Some(PrincipalId::from_random(8)));
    let admitted = (0..100).filter(|_| refusals.admits(None, begin)).count();
    assert_eq!((admitted, refusals.omitted), (AUDIT_REFUSALS_PER_SECOND_MAX as usize, 100 - u64::from(AUDIT_REFUSALS_PER_SECOND_MAX)));
    assert!(refusals.admits(other, begin), "a flood of one does not hide what is refused to another");
    assert!(refusals.admits(None, begin + Duration::from_secs(1)));
    let many = (0..5_000).filter(|no| refusals.admits(Some(PrincipalId::from_random(*no)), begin + Duration::from_secs(1))).count();
    assert_eq!(many, CALLERS_MAX - 1);
}

#[test]
fn a_failed_write_leaves_nothing_and_a_later_one_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, _) = Writer::open(dir.path(), 1 << 20).unwrap();
    writer.write(&[record("j1")]).unwrap();
    let good = std::mem::replace(&mut writer.file, File::open(dir.path().join(file_name(1))).unwrap());
    assert!(writer.write(&[record("j2")]).is_err(), "it is open to read only");
    writer.broken = None;
    writer.file = good;
    writer.write(&[record("j3")]).unwrap();
    assert_eq!((findings(dir.path()), writer.last.seq), (Vec::new(), 2));
}

#[test]
fn a_copy_ends_with_a_whole_line_and_both_go_on_with_the_same_chain() {
    let dir = written(40);
    let log = open(dir.path());
    let noted = log.last();
    // What is being written while it is copied: a line that is not durable, and half of one.
    let (_, newest) = files(dir.path()).unwrap().pop().unwrap();
    let next = record("j41").line(&noted).unwrap();
    fs::OpenOptions::new().append(true).open(newest).unwrap().write_all(&[&next[..], b"\n{\"seq\":42,\"pre"].concat()).unwrap();
    let to = tempfile::tempdir().unwrap();
    for end in [Link::START, all_links(dir.path())[16], noted] {
        let to = to.path().join(end.seq.to_string());
        copy(dir.path(), end, &to).unwrap();
        let (chain, found) = verify(&to, None).unwrap();
        assert_eq!((chain.lines(), chain.last().unwrap_or(Link::START), found), (end.seq, end, Vec::new()));
        assert!(len(&to).unwrap() <= len(dir.path()).unwrap());
        let copied = open(&to);
        assert_eq!(copied.last(), end);
        note(&copied, 3);
        assert_eq!((findings(&to), all_links(&to).len() as u64), (Vec::new(), end.seq + 3));
        assert_eq!(all_links(&to)[..end.seq as usize], all_links(dir.path())[..end.seq as usize]);
    }
    assert!(copy(dir.path(), noted, to.path()).is_err(), "never over something that is there");
}

#[test]
fn a_copy_of_what_is_not_whole_is_not_whole_either() {
    let dir = written(20);
    let last = Mark::read(dir.path()).unwrap();
    let mut lines = all_lines(dir.path());
    lines[7].1 = "nonsense".into();
    lines.remove(12);
    put_lines(&lines, dir.path());
    let to = tempfile::tempdir().unwrap();
    let to = to.path().join("audit");
    copy(dir.path(), last, &to).unwrap();
    assert_eq!(findings(&to), findings(dir.path()));
    assert_eq!(findings(&to).len(), 3);
}

#[derive(Clone, Debug)]
enum Harm {
    Change(usize, usize),
    Remove(usize),
    Swap(usize, usize),
    Repeat(usize),
    Cut(usize),
}

fn harm() -> impl Strategy<Value = Harm> {
    prop_oneof![
        (0usize..20, 0usize..200).prop_map(|(line, byte)| Harm::Change(line, byte)),
        (0usize..20).prop_map(Harm::Remove),
        (0usize..20, 0usize..20).prop_filter("two lines", |(a, b)| a != b).prop_map(|(a, b)| Harm::Swap(a, b)),
        (0usize..20).prop_map(Harm::Repeat),
        (0usize..20).prop_map(Harm::Cut),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn whatever_was_done_to_the_lines_is_found(harm in harm()) {
        let dir = written(20);
        let mut lines = all_lines(dir.path());
        match harm {
            Harm::Change(line, byte) => {
                let text = &mut lines[line].1;
                let at = byte.min(text.len() - 1);
                let to = if text.as_bytes()[at] == b'1' { "2" } else { "1" };
                text.replace_range(at..=at, to);
            }
            Harm::Remove(line) => drop(lines.remove(line)),
            Harm::Swap(a, b) => {
                let (of_a, of_b) = (lines[a].1.clone(), lines[b].1.clone());
                (lines[a].1, lines[b].1) = (of_b, of_a);
            }
            Harm::Repeat(line) => lines.insert(line, lines[line].clone()),
            Harm::Cut(line) => lines.truncate(line),
        }
        put_lines(&lines, dir.path());
        prop_assert!(!findings(dir.path()).is_empty(), "{harm:?}");
    }
}
