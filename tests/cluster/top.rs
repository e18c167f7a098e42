//! `millpond top` on a terminal: what a person sees there, and what the head hears of keys.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};

use rustix::fs::{Mode, OFlags};
use rustix::process::Signal;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Termios, Winsize, tcgetattr, tcsetwinsize};

use super::cluster::Cluster;
use super::process::{signal, until, wait};

/// A terminal that knows what `top` writes: places, erasing, and characters of one column.
#[derive(Default)]
struct Shown {
    rows: BTreeMap<usize, BTreeMap<usize, char>>,
    at: (usize, usize),
    /// A sequence that is not whole yet.
    begun: String,
    is_left: bool,
}

impl Shown {
    fn takes(&mut self, text: &str) {
        for c in text.chars() {
            if c == '\x1b' || !self.begun.is_empty() {
                self.begun.push(c);
                if c.is_ascii_alphabetic() {
                    let sequence = std::mem::take(&mut self.begun);
                    self.obeys(&sequence);
                }
                continue;
            }
            let (row, column) = self.at;
            self.rows.entry(row).or_default().insert(column, c);
            self.at.1 += 1;
        }
    }

    fn obeys(&mut self, sequence: &str) {
        match sequence.trim_start_matches("\x1b[") {
            "2J" => self.rows.clear(),
            "?1049l" => self.is_left = true,
            place if place.ends_with('H') => {
                let (row, column) = place.trim_end_matches('H').split_once(';').unwrap();
                self.at = (row.parse().unwrap(), column.parse().unwrap());
            }
            look => assert!(look.ends_with('m') || look.starts_with('?'), "{look:?}"),
        }
    }

    fn text(&self) -> String {
        let line = |row: &BTreeMap<usize, char>| {
            (1..=row.keys().max().map_or(0, |last| *last)).map(|at| row.get(&at).unwrap_or(&' ')).collect::<String>()
        };
        self.rows.values().map(|row| line(row).trim_end().to_owned() + "\n").collect()
    }
}

/// A pseudo-terminal, and `millpond top` at it.
struct Seat {
    /// What a person types goes in here.
    person: File,
    terminal: OwnedFd,
    before: Termios,
    shown: Arc<Mutex<Shown>>,
    top: Child,
}

impl Seat {
    fn at(cluster: &Cluster) -> Self {
        let person = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&person).unwrap();
        unlockpt(&person).unwrap();
        let name = ptsname(&person, Vec::new()).unwrap();
        let terminal = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).unwrap();
        resize(&terminal, 100, 30);
        let before = tcgetattr(&terminal).unwrap();
        let stdio = || Stdio::from(terminal.try_clone().unwrap());
        let top = cluster.client(&["top"]).env("TERM", "xterm").stdin(stdio()).stdout(stdio()).stderr(stdio()).spawn().unwrap();
        let person = File::from(person);
        let (mut reader, shown) = (person.try_clone().unwrap(), Arc::<Mutex<Shown>>::default());
        let page = shown.clone();
        std::thread::spawn(move || {
            let (mut bytes, mut rest) = ([0; 4096], Vec::new());
            // Until the other end is closed.
            while let Ok(len @ 1..) = reader.read(&mut bytes) {
                rest.extend_from_slice(&bytes[..len]);
                // A character may come in two pieces.
                let whole = std::str::from_utf8(&rest).map_or_else(|error| error.valid_up_to(), str::len);
                page.lock().unwrap().takes(std::str::from_utf8(&rest[..whole]).unwrap());
                rest.drain(..whole);
            }
        });
        Self { person, terminal, before, shown, top }
    }

    fn types(&mut self, keys: &str) {
        self.person.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until this is on the screen.
    #[track_caller]
    fn shows(&self, text: &str) {
        until(&format!("{text:?} is on the screen"), || self.text().contains(text));
    }

    fn text(&self) -> String {
        self.shown.lock().unwrap().text()
    }

    /// Who has no controlling terminal is told of it by hand.
    fn has_size(&self, columns: u16, rows: u16) {
        resize(&self.terminal, columns, rows);
        signal(self.top.id(), Signal::WINCH);
    }

    /// Waits for the end; the terminal is as it was.
    #[track_caller]
    fn ends(&mut self) {
        assert_eq!(wait(&mut self.top).code(), Some(0));
        self.is_given_back();
    }

    #[track_caller]
    fn is_given_back(&self) {
        until("the screen is left", || self.shown.lock().unwrap().is_left);
        let modes = |termios: &Termios| (termios.local_modes, termios.input_modes, termios.output_modes);
        assert_eq!(modes(&tcgetattr(&self.terminal).unwrap()), modes(&self.before));
    }
}

fn resize(terminal: &OwnedFd, columns: u16, rows: u16) {
    tcsetwinsize(terminal, Winsize { ws_col: columns, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
}

#[test]
fn a_job_that_comes_is_seen_and_paused_by_a_key() {
    let mut cluster = Cluster::start(&[1]);
    let mut seat = Seat::at(&cluster);
    seat.shows("no jobs");
    let gate = cluster.text_path("gate");
    let job = cluster.submit_array("0-9", &["--name", "weir"], &format!("until [ -e {gate} ]; do sleep 0.02; done"));
    seat.shows("weir");
    until("a task runs", || cluster.count(&job, "running") == 1);
    seat.types("p");
    seat.shows("j1 is paused: 9 not started, 1 running");
    assert_eq!(cluster.show(&job)["held"], true);
    seat.types("r");
    seat.shows("j1 resumed: 9 not started, 1 running");
    seat.types("+");
    seat.shows("j1 has priority 1");
    // Drawn anew on a smaller terminal, and nothing outside it.
    seat.has_size(40, 12);
    until("the screen is smaller", || {
        let text = seat.text();
        text.lines().count() <= 12 && text.lines().all(|line| line.chars().count() <= 40) && text.contains("j1 has priority 1")
    });
    seat.has_size(100, 30);

    cluster.head_dies();
    seat.shows("the head does not answer");
    cluster.head_starts_again();
    seat.types("-");
    // An answer is shown once the head is seen again.
    seat.shows("j1 has priority 0");
    until("the task is known again", || cluster.count(&job, "running") == 1);

    seat.types("K");
    seat.shows("kill j1: drops 9; 1 running finishes. Do it? y/n");
    seat.types("y");
    seat.shows("j1 is being killed: dropped 9, still running 1");
    cluster.write("gate", "");
    cluster.ends(&job, 11);
    seat.shows("killed");
    seat.types("q");
    seat.ends();
}

#[test]
fn the_terminal_is_given_back_after_a_signal_and_without_one_nothing_is_drawn() {
    let cluster = Cluster::start(&[]);
    for by in [Signal::TERM, Signal::INT, Signal::HUP] {
        let mut seat = Seat::at(&cluster);
        seat.shows("no jobs");
        signal(seat.top.id(), by);
        seat.ends();
    }
    let mut seat = Seat::at(&cluster);
    seat.shows("no jobs");
    seat.types("\x03");
    seat.ends();
    cluster.millpond(&["top"]).refused(2, &["millpond list --live"]);
}
