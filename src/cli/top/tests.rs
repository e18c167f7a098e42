//! What is on the screen, as text, and what keys do.

use std::collections::BTreeMap;

use proptest::prelude::*;
use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;
use ratatui_core::style::Color;

use super::canvas::Canvas;
use super::deed::Deed;
use super::draw::draw;
use super::filter::Filter;
use super::key::Key;
use super::model::{Ask, Event, Mode, Model, Pane};
use super::sight::{Sight, Wanted};
use crate::cli::fake_head::job;
use crate::domain::Error;
use crate::rpc::pb::{Cluster, Eta, Explanation, Job, JobState, TaskCounts, Worker, WorkerState};

/// When `job` of the fake head is an hour and five minutes old.
const NOW: i64 = 1_700_000_000 + 3900;

fn named(mut job: Job, name: &str, owner: &str) -> Job {
    let spec = job.spec.as_mut().unwrap();
    (spec.name, spec.owner) = (name.into(), owner.into());
    job
}

fn sight() -> Sight {
    let eta = Some(Eta { low_seconds: 180.0, high_seconds: 250.0 });
    let ended = TaskCounts { total: 8, succeeded: 7, failed: 1, ..Default::default() };
    let waits = "is waiting: j9 has a higher priority, and takes every slot that there is until it has no task left to start".to_owned();
    let jobs = vec![
        named(Job { priority: 5, eta, reason: "is running".into(), ..job("j9", JobState::Running) }, "human", "ana"),
        named(
            Job {
                reason: waits,
                tasks: Some(TaskCounts { total: 40, undispatched: 40, ..Default::default() }),
                ..job("j8", JobState::Waiting)
            },
            "日本語の名前",
            "ben",
        ),
        named(Job { held: true, ..job("j7", JobState::Waiting) }, "red\u{1b}[31m\u{202e}alert", "ana"),
        named(Job { tasks: Some(ended), ..job("j6", JobState::Failed) }, "old", "ana"),
    ];
    let worker = |id: &str, state: WorkerState, free, note: &str| Worker {
        id: id.into(),
        host: format!("mill-{id}.lab"),
        state: state.into(),
        slots: 8,
        free,
        note: note.into(),
        tasks: (0..8 - free).map(|at| format!("j9.{at}")).collect(),
        ..Default::default()
    };
    let workers = vec![
        worker("w1", WorkerState::Busy, 0, ""),
        worker("w2", WorkerState::Draining, 5, "told by ana"),
        worker("w3", WorkerState::Away, 8, ""),
    ];
    let ranks = BTreeMap::from([("j9".into(), 1), ("j8".into(), 2)]);
    Sight {
        jobs,
        workers,
        ranks,
        has_all_workers: true,
        cluster: Cluster { workers: 2, slots: 16, ..Default::default() },
        ..Default::default()
    }
}

fn model() -> Model {
    Model::new(sight())
}

fn screen(model: &Model, width: u16, height: u16) -> Vec<String> {
    let mut buffer = Buffer::empty(Rect::new(0, 0, width, height));
    draw(&mut Canvas::new(&mut buffer, true), model, "http://lab:7663", NOW);
    let mut lines = Vec::new();
    for y in 0..height {
        let (mut line, mut skip) = (String::new(), 0);
        for x in 0..width {
            // Behind a wide character is a cell that is no column of its own.
            if skip > 0 {
                skip -= 1;
                continue;
            }
            let symbol = buffer[(x, y)].symbol();
            line.push_str(symbol);
            skip = super::canvas::width(symbol).saturating_sub(1);
        }
        lines.push(line.trim_end().to_owned());
    }
    lines
}

fn text(model: &Model, width: u16, height: u16) -> String {
    screen(model, width, height).join("\n")
}

fn press(model: &mut Model, keys: &[Key]) -> Vec<Ask> {
    keys.iter().flat_map(|key| model.on(Event::Pressed(*key))).collect()
}

fn chars(model: &mut Model, keys: &str) -> Vec<Ask> {
    keys.chars().flat_map(|key| model.on(Event::Pressed(Key::Char(key)))).collect()
}

#[test]
fn eighty_columns_show_jobs_workers_and_why() {
    let mut model = model();
    press(&mut model, &[Key::Down]);
    let expected = "\
http://lab:7663  2 workers, 11 of 16 slots busy
JOB STATE                DONE RUN FAIL PRIO NEXT LEFT        OWNER   AGE NAME
j9  running =x>..... 172/1000  16    2    5    1 3m00s-4m10s ana   1h05m human
j8  waiting ........     0/40   0    0    0    2             ben   1h05m 日本語…
j7  paused  =x>..... 172/1000  16    2    0                  ana   1h05m red·[3…
j6  failed  =======x      8/8   0    1    0                  ana   1h05m old










WORKER STATE    SLOTS HOST        NOTE        RUNS
w1     busy       8/8 mill-w1.lab             j9.0 j9.1 j9.2 j9.3 j9.4 j9.5 j9.…
w2     draining   3/8 mill-w2.lab told by ana j9.0 j9.1 j9.2
w3     away       0/8 mill-w3.lab
j8 (日本語の名前): is waiting: j9 has a higher priority, and takes every slot
that there is until it has no task left to start

? help  q quit  Tab workers  Enter why  / filter  p pause  r resume  K kill  + -";
    assert_eq!(text(&model, 80, 24), expected);
}

#[test]
fn forty_columns_show_one_list_and_fewer_columns() {
    let mut model = model();
    let expected = "\
http://lab:7663  2 workers, 11 of 16 sl…
JOB STATE                DONE RUN NAME
j9  running =x>..... 172/1000  16 human
j8  waiting ........     0/40   0 日本…
j7  paused  =x>..... 172/1000  16 red·[…
j6  failed  =======x      8/8   0 old


j9 (human): is running


? help  q quit  Tab workers  Enter why …";
    assert_eq!(text(&model, 40, 12), expected);
    press(&mut model, &[Key::Tab]);
    assert_eq!(screen(&model, 40, 12)[1], "WORKER STATE    SLOTS HOST        RUNS");
}

#[test]
fn names_of_others_steer_no_terminal() {
    let drawn = text(&model(), 200, 24);
    assert!(drawn.contains("red·[31malert") && !drawn.contains(['\u{1b}', '\u{202e}']), "{drawn}");
}

#[test]
fn without_colour_nothing_has_one_and_the_words_are_the_same() {
    let drawn = |has_colour| {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 80, 24));
        draw(&mut Canvas::new(&mut buffer, has_colour), &model(), "http://lab:7663", NOW);
        buffer
    };
    let (coloured, plain) = (drawn(true), drawn(false));
    assert!(coloured.content.iter().any(|cell| cell.fg != Color::Reset));
    assert!(plain.content.iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
    assert!(coloured.content.iter().zip(&plain.content).all(|(one, other)| one.symbol() == other.symbol()));
}

#[test]
fn a_pause_a_resume_and_priorities_are_done_at_once() {
    let mut model = model();
    assert_eq!(chars(&mut model, "pr"), [Ask::Do(Deed::Pause("j9".into())), Ask::Do(Deed::Resume("j9".into()))]);
    // Two keys in a row are two, though the head has not answered.
    let priority = |n| Ask::Do(Deed::Priority("j9".into(), n));
    assert_eq!(chars(&mut model, "++-"), [priority(6), priority(7), priority(6)]);
    model.on(Event::Done(Ok("j9 is paused: 812 not started, 16 running".into())));
    assert_eq!(screen(&model, 80, 24)[22], "j9 is paused: 812 not started, 16 running");
    model.on(Event::Done(Err(Error::denied("j9 belongs to another than ben"))));
    assert_eq!(screen(&model, 80, 24)[22], "j9 belongs to another than ben");
    assert_eq!(chars(&mut model, "d"), [], "a job is not drained");
}

#[test]
fn a_kill_is_done_once_it_is_known_what_it_comes_to_and_meant() {
    let (kill, told) = (Deed::Kill("j9".into()), "kill j9: drops 812; 16 running finish");
    let mut model = model();
    assert_eq!(chars(&mut model, "K"), [Ask::Foretell(kill.clone())]);
    assert_eq!(chars(&mut model, "y"), [], "nobody knows yet what it comes to");
    model.on(Event::Foretold(Deed::Kill("j8".into()), Ok("of another".into())));
    model.on(Event::Foretold(kill.clone(), Ok(told.into())));
    assert_eq!(screen(&model, 80, 24)[23], format!("{told}. Do it? y/n"));
    // What is asked about stays what is meant, whatever is seen meanwhile.
    model.on(Event::Seen(Box::new(Sight { jobs: vec![job("j1", JobState::Running)], ..sight() })));
    assert_eq!(chars(&mut model.clone(), "n"), []);
    assert_eq!(press(&mut model.clone(), &[Key::Enter]), [], "only a y is a yes");
    assert_eq!(chars(&mut model, "y"), [Ask::Do(kill.clone())]);
    chars(&mut model, "K");
    model.on(Event::Foretold(Deed::Kill("j1".into()), Err(Error::conflict("j1 has ended"))));
    assert_eq!((&model.mode, model.said.0.as_str()), (&Mode::Looking, "j1 has ended"));
}

#[test]
fn a_drain_is_for_workers_and_asked_about() {
    let mut model = model();
    press(&mut model, &[Key::Tab, Key::Down]);
    assert_eq!(chars(&mut model, "d"), [Ask::Foretell(Deed::Drain("w2".into()))]);
    press(&mut model, &[Key::Escape]);
    assert_eq!(chars(&mut model, "r"), [Ask::Do(Deed::Undrain("w2".into()))]);
    assert_eq!(chars(&mut model, "pK+"), []);
    chars(&mut model, "/w3");
    press(&mut model, &[Key::Enter]);
    assert_eq!(model.picked_worker().unwrap().id, "w3");
}

#[test]
fn the_one_picked_stays_picked_while_rows_move() {
    let mut model = model();
    press(&mut model, &[Key::Down]);
    let mut next = sight();
    next.jobs.insert(0, job("j10", JobState::Running));
    model.on(Event::Seen(Box::new(next)));
    assert_eq!((model.picked_job().unwrap().id.as_str(), model.at(Pane::Jobs)), ("j8", 2));
    model.on(Event::Seen(Box::new(Sight { jobs: vec![job("j1", JobState::Running)], ..sight() })));
    assert_eq!(model.picked_job().unwrap().id, "j1");
    model.on(Event::Seen(Box::default()));
    assert!(model.picked_job().is_none() && chars(&mut model, "pK+-").is_empty());
    assert!(text(&model, 80, 24).contains("no jobs"));
}

#[test]
fn a_filter_asks_for_other_jobs_and_what_was_asked_before_is_not_shown() {
    let mut model = model();
    chars(&mut model, "/@anx");
    press(&mut model, &[Key::Backspace]);
    chars(&mut model, "a q");
    assert_eq!(screen(&model, 80, 24)[23], "/@ana q_");
    let wanted = Wanted { filter: Filter::new("@ana q").unwrap(), page: String::new() };
    assert_eq!(press(&mut model, &[Key::Enter]), [Ask::Look(wanted)]);
    model.on(Event::Seen(Box::new(sight())));
    assert!(model.picked_job().is_none(), "that was a look for all");
    chars(&mut model, "/x[");
    assert_eq!((press(&mut model, &[Key::Enter]), &model.mode), (vec![], &Mode::Filtering("@ana qx[".into())));
    assert!(model.said.1, "{:?}", model.said);
    press(&mut model, &[Key::Escape]);
    assert_eq!(press(&mut model, &[Key::Escape]), [Ask::Look(Wanted::default())], "all again");
}

#[test]
fn behind_the_last_row_is_the_next_page_and_before_the_first_the_one_before() {
    let mut model = Model::new(Sight { next_page: "6".into(), ..sight() });
    let page = |page: &str| Ask::Look(Wanted { page: page.into(), ..Wanted::default() });
    assert_eq!(press(&mut model, &[Key::End, Key::Down, Key::Down]), [page("6")]);
    let second = Sight { wanted: Wanted { page: "6".into(), ..Wanted::default() }, ..sight() };
    model.on(Event::Seen(Box::new(second)));
    assert!(screen(&model, 80, 24)[0].ends_with("page 2"));
    assert_eq!(press(&mut model, &[Key::Down, Key::Up, Key::Up, Key::Up]), [page("")]);
}

#[test]
fn enter_says_why_and_goes_on_saying_it() {
    let mut model = model();
    assert_eq!(press(&mut model, &[Key::Enter]), [Ask::Explain("j9".into())]);
    let (sentence, change) = ("j9 is running: it has the highest priority".to_owned(), "`millpond priority j9 0`".to_owned());
    let explanation = |id: &str| Explanation { id: id.into(), sentence: sentence.clone(), change: change.clone(), ..Default::default() };
    model.on(Event::Explained("j8".into(), Ok(explanation("j8"))));
    assert_eq!(model.mode, Mode::Reading(None), "of another");
    model.on(Event::Explained("j9".into(), Ok(explanation("j9"))));
    assert_eq!(screen(&model, 80, 24)[1..4], [sentence.as_str(), "", "to change: `millpond priority j9 0`"]);
    assert_eq!(model.on(Event::Seen(Box::new(sight()))), [Ask::Explain("j9".into())], "it may have changed");
    assert_eq!(chars(&mut model, "pj"), [Ask::Do(Deed::Pause("j9".into())), Ask::Explain("j8".into())]);
    press(&mut model, &[Key::Enter]);
    assert_eq!(model.mode, Mode::Looking);
    assert_eq!(chars(&mut model, "q"), [Ask::Quit]);
}

#[test]
fn a_head_that_is_away_is_said_so_until_it_is_seen_again() {
    let mut model = model();
    model.on(Event::Lost(Error::unavailable("connection refused")));
    assert_eq!(screen(&model, 80, 24)[22], "the head does not answer; its jobs go on, and it is tried again");
    assert!(screen(&model, 80, 24)[2].starts_with("j9"), "what was seen last stays");
    model.on(Event::Seen(Box::new(sight())));
    assert_eq!(screen(&model, 80, 24)[22], "");
    assert_eq!(press(&mut model, &[Key::Char('/'), Key::Interrupt]), [Ask::Quit]);
}

fn any_key() -> impl Strategy<Value = Key> {
    let chars = prop::sample::select("jkgGq?prK+-d/yn@*[w日 ".chars().collect::<Vec<_>>()).prop_map(Key::Char);
    let others = prop::sample::select(vec![
        Key::Up,
        Key::Down,
        Key::PageUp,
        Key::PageDown,
        Key::Home,
        Key::End,
        Key::Tab,
        Key::Enter,
        Key::Escape,
        Key::Backspace,
    ]);
    prop_oneof![chars, others]
}

proptest! {
    #[test]
    fn no_keys_and_no_size_panic(keys in prop::collection::vec(any_key(), 0..25), width in 1_u16..200, height in 1_u16..60, jobs in 0_usize..200) {
        let mut many = sight();
        many.jobs = many.jobs.into_iter().cycle().take(jobs).enumerate().map(|(at, job)| Job { id: format!("j{at}"), ..job }).collect();
        many.next_page = "7".into();
        let mut model = Model::new(many.clone());
        for key in keys {
            for ask in model.on(Event::Pressed(key)) {
                // A head that answers at once.
                let answer = match ask {
                    Ask::Look(wanted) => Event::Seen(Box::new(Sight { wanted, ..many.clone() })),
                    Ask::Explain(id) => Event::Explained(id.clone(), Ok(Explanation { id, sentence: "a b ".repeat(80), ..Default::default() })),
                    Ask::Foretell(deed) => Event::Foretold(deed, Ok("it comes to this".into())),
                    Ask::Do(deed) => Event::Done(Ok(format!("{deed:?}"))),
                    Ask::Quit => continue,
                };
                model.on(answer);
            }
            let drawn = screen(&model, width, height);
            prop_assert!(drawn.iter().all(|line| super::canvas::width(line) <= usize::from(width)), "{:?}", drawn);
        }
    }
}
