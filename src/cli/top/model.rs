//! What `top` shows and knows, as a plain value: it hears of keys and answers, and says what is to be asked.
//!
//! ```text
//!            /            Enter, or Escape
//!   Looking ──▶ Filtering ───────────────▶ Looking
//!      │ Enter ──▶ Reading (what explains the one picked) ── Enter, Escape ─▶ Looking
//!      │ ? ──────▶ Helping ── any key ─▶ Looking
//!      └ K, d ───▶ Asking  ── y: it is done; any other key: nothing is ─▶ Looking
//! ```

use super::deed::Deed;
use super::filter::Filter;
use super::key::Key;
use super::sight::{Sight, Wanted};
use crate::domain::{Error, ErrorKind};
use crate::rpc::pb;

/// Rows that PageUp and PageDown go.
const LEAP: usize = 10;
const TYPED_MAX_CHARS: usize = 100;

/// What happens to it.
#[derive(Debug)]
pub(super) enum Event {
    Pressed(Key),
    Seen(Box<Sight>),
    /// The head could not be looked at.
    Lost(Error),
    Explained(String, Result<pb::Explanation, Error>),
    Foretold(Deed, Result<String, Error>),
    Done(Result<String, Error>),
}

/// What is to be asked of the head, or done.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Ask {
    /// From now on look for this, and at once.
    Look(Wanted),
    Explain(String),
    Foretell(Deed),
    Do(Deed),
    Quit,
}

/// Which list the keys go to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Pane {
    #[default]
    Jobs,
    Workers,
}

/// What the keys mean.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Mode {
    #[default]
    Looking,
    /// A filter is being typed.
    Filtering(String),
    Helping,
    /// What explains the one picked; none while that is on its way.
    Reading(Option<pb::Explanation>),
    /// Whether a deed is meant, with what it would come to; none while that is on its way.
    Asking(Deed, Option<String>),
}

/// The one picked, by its name; where it stood counts once it has gone.
#[derive(Clone, Debug, Default)]
struct Pick {
    id: String,
    at: usize,
}

impl Pick {
    /// It stays on its row when rows move; on its place when the row has gone.
    fn settle(&mut self, ids: &[&str]) {
        match ids.iter().position(|id| *id == self.id) {
            Some(at) => self.at = at,
            None => self.go(ids, self.at),
        }
    }

    fn go(&mut self, ids: &[&str], at: usize) {
        self.at = at.min(ids.len().saturating_sub(1));
        self.id = ids.get(self.at).map(|id| (*id).to_owned()).unwrap_or_default();
    }
}

/// The whole of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    pub(super) wanted: Wanted,
    pub(super) sight: Sight,
    pub(super) pane: Pane,
    pub(super) mode: Mode,
    /// The last answer, and whether it is a refusal.
    pub(super) said: (String, bool),
    /// Why the head can't be seen now.
    pub(super) lost: Option<String>,
    pub(super) worker_filter: String,
    /// The pages before this one.
    before: Vec<String>,
    job: Pick,
    worker: Pick,
}

impl Model {
    pub(super) fn new(sight: Sight) -> Self {
        let mut model = Self { wanted: sight.wanted.clone(), ..Self::default() };
        model.see(sight);
        model
    }

    /// The number of the page of jobs, from 1.
    pub(super) fn page(&self) -> usize {
        self.before.len() + 1
    }

    /// The workers that the filter leaves.
    pub(super) fn workers(&self) -> impl Iterator<Item = &pb::Worker> {
        self.sight.workers.iter().filter(|worker| worker.id == self.worker_filter || worker.host.contains(&self.worker_filter))
    }

    /// The row picked of a pane.
    pub(super) fn at(&self, pane: Pane) -> usize {
        self.pick(pane).at
    }

    pub(super) fn picked_job(&self) -> Option<&pb::Job> {
        self.sight.jobs.get(self.job.at)
    }

    pub(super) fn picked_worker(&self) -> Option<&pb::Worker> {
        self.workers().nth(self.worker.at)
    }

    /// The one event after the other; what is to be asked for it.
    pub(super) fn on(&mut self, event: Event) -> Vec<Ask> {
        match event {
            Event::Pressed(Key::Interrupt) => vec![Ask::Quit],
            Event::Pressed(key) => self.press(key),
            Event::Seen(sight) if sight.wanted == self.wanted => {
                self.lost = None;
                self.see(*sight);
                if matches!(self.mode, Mode::Reading(_)) { self.explain() } else { Vec::new() }
            }
            // Of what was wanted before.
            Event::Seen(_) => Vec::new(),
            Event::Lost(error) => {
                self.lost = Some(match error.kind {
                    ErrorKind::Unavailable => "the head does not answer; its jobs go on, and it is tried again".into(),
                    _ => error.message,
                });
                Vec::new()
            }
            Event::Explained(id, explained) => self.explained(&id, explained),
            Event::Foretold(deed, foretold) => self.foretold(&deed, foretold),
            Event::Done(done) => self.say(done),
        }
    }

    fn see(&mut self, sight: Sight) {
        self.sight = sight;
        self.settle();
    }

    fn settle(&mut self) {
        for pane in [Pane::Jobs, Pane::Workers] {
            let mut pick = self.pick(pane).clone();
            pick.settle(&self.ids(pane));
            *self.pick_mut(pane) = pick;
        }
    }

    fn pick(&self, pane: Pane) -> &Pick {
        match pane {
            Pane::Jobs => &self.job,
            Pane::Workers => &self.worker,
        }
    }

    fn pick_mut(&mut self, pane: Pane) -> &mut Pick {
        match pane {
            Pane::Jobs => &mut self.job,
            Pane::Workers => &mut self.worker,
        }
    }

    fn ids(&self, pane: Pane) -> Vec<&str> {
        match pane {
            Pane::Jobs => self.sight.jobs.iter().map(|job| job.id.as_str()).collect(),
            Pane::Workers => self.workers().map(|worker| worker.id.as_str()).collect(),
        }
    }

    fn say(&mut self, said: Result<String, Error>) -> Vec<Ask> {
        self.said = match said {
            Ok(text) => (text, false),
            Err(error) => (error.message, true),
        };
        Vec::new()
    }

    fn explained(&mut self, id: &str, explained: Result<pb::Explanation, Error>) -> Vec<Ask> {
        if !matches!(self.mode, Mode::Reading(_)) || self.pick(self.pane).id != id {
            return Vec::new();
        }
        match explained {
            Ok(explanation) => {
                self.mode = Mode::Reading(Some(explanation));
                Vec::new()
            }
            Err(error) => {
                self.mode = Mode::Looking;
                self.say(Err(error))
            }
        }
    }

    fn foretold(&mut self, about: &Deed, foretold: Result<String, Error>) -> Vec<Ask> {
        let Mode::Asking(deed, text) = &mut self.mode else { return Vec::new() };
        if deed != about {
            return Vec::new();
        }
        match foretold {
            Ok(told) => {
                *text = Some(told);
                Vec::new()
            }
            Err(error) => {
                self.mode = Mode::Looking;
                self.say(Err(error))
            }
        }
    }

    fn press(&mut self, key: Key) -> Vec<Ask> {
        match std::mem::take(&mut self.mode) {
            Mode::Looking => self.press_looking(key),
            Mode::Helping => Vec::new(),
            Mode::Filtering(text) => self.press_filtering(text, key),
            Mode::Reading(_) if matches!(key, Key::Enter | Key::Escape | Key::Char('q')) => Vec::new(),
            Mode::Reading(explained) => {
                let before = (self.pane, self.pick(self.pane).id.clone());
                let asks = self.press_looking(key);
                if self.mode != Mode::Looking {
                    return asks;
                }
                if (self.pane, &self.pick(self.pane).id) != (before.0, &before.1) {
                    return asks.into_iter().chain(self.explain()).collect();
                }
                self.mode = Mode::Reading(explained);
                asks
            }
            Mode::Asking(deed, text) => match (key, text) {
                (Key::Char('y'), Some(_)) => {
                    self.said = Default::default();
                    vec![Ask::Do(deed)]
                }
                // Before it is known what it comes to, nobody can mean it.
                (Key::Char('y'), None) => {
                    self.mode = Mode::Asking(deed, None);
                    Vec::new()
                }
                _ => self.say(Ok("nothing was done".into())),
            },
        }
    }

    fn press_looking(&mut self, key: Key) -> Vec<Ask> {
        match key {
            Key::Char('q') => return vec![Ask::Quit],
            Key::Char('?') => self.mode = Mode::Helping,
            Key::Enter => return self.explain(),
            Key::Tab => {
                self.pane = match self.pane {
                    Pane::Jobs => Pane::Workers,
                    Pane::Workers => Pane::Jobs,
                };
            }
            Key::Char('/') => {
                let text = match self.pane {
                    Pane::Jobs => &self.wanted.filter.text,
                    Pane::Workers => &self.worker_filter,
                };
                self.mode = Mode::Filtering(text.clone());
            }
            Key::Escape => {
                self.said = Default::default();
                return self.filter("");
            }
            Key::Up | Key::Char('k') => return self.go(-1),
            Key::Down | Key::Char('j') => return self.go(1),
            Key::PageUp => return self.go(-(LEAP as isize)),
            Key::PageDown => return self.go(LEAP as isize),
            Key::Home | Key::Char('g') => return self.go(isize::MIN),
            Key::End | Key::Char('G') => return self.go(isize::MAX),
            Key::Char(c) => return self.steer(c),
            Key::Backspace | Key::Interrupt => {}
        }
        Vec::new()
    }

    /// By so many rows; beyond the end of a page of jobs to the next, and back.
    fn go(&mut self, by: isize) -> Vec<Ask> {
        let pane = self.pane;
        let ids = self.ids(pane);
        let (last, at) = (ids.len().saturating_sub(1), self.pick(pane).at);
        let is_step = by.unsigned_abs() <= LEAP;
        if pane == Pane::Jobs && is_step && by > 0 && at == last && !self.sight.next_page.is_empty() {
            self.before.push(std::mem::take(&mut self.wanted.page));
            self.wanted.page.clone_from(&self.sight.next_page);
            return self.turn();
        }
        if pane == Pane::Jobs && is_step && by < 0 && at == 0 && self.page() > 1 {
            self.wanted.page = self.before.pop().unwrap_or_default();
            return self.turn();
        }
        let mut pick = self.pick(pane).clone();
        pick.go(&ids, at.saturating_add_signed(by).min(last));
        *self.pick_mut(pane) = pick;
        Vec::new()
    }

    fn turn(&mut self) -> Vec<Ask> {
        self.job = Pick::default();
        // Once; and not of a page that is no longer shown.
        self.sight.next_page.clear();
        self.sight.jobs.clear();
        vec![Ask::Look(self.wanted.clone())]
    }

    fn press_filtering(&mut self, mut text: String, key: Key) -> Vec<Ask> {
        match key {
            Key::Enter => return self.filter(&text),
            Key::Escape => return Vec::new(),
            Key::Backspace => drop(text.pop()),
            Key::Char(c) if text.chars().count() < TYPED_MAX_CHARS => text.push(c),
            Key::Char(_) | Key::Up | Key::Down | Key::PageUp | Key::PageDown | Key::Home | Key::End | Key::Tab | Key::Interrupt => {}
        }
        self.mode = Mode::Filtering(text);
        Vec::new()
    }

    fn filter(&mut self, text: &str) -> Vec<Ask> {
        if self.pane == Pane::Workers {
            self.worker_filter = text.trim().to_owned();
            self.settle();
            return Vec::new();
        }
        match Filter::new(text) {
            Ok(filter) if filter == self.wanted.filter => Vec::new(),
            Ok(filter) => {
                self.wanted = Wanted { filter, page: String::new() };
                self.before.clear();
                self.turn()
            }
            Err(error) => {
                self.mode = Mode::Filtering(text.to_owned());
                self.say(Err(error))
            }
        }
    }

    fn explain(&mut self) -> Vec<Ask> {
        let id = self.pick(self.pane).id.clone();
        if id.is_empty() {
            self.mode = Mode::Looking;
            return Vec::new();
        }
        if !matches!(&self.mode, Mode::Reading(Some(it)) if it.id == id) {
            self.mode = Mode::Reading(None);
        }
        vec![Ask::Explain(id)]
    }

    /// The verbs.
    fn steer(&mut self, key: char) -> Vec<Ask> {
        let id = self.pick(self.pane).id.clone();
        let deed = match (self.pane, key) {
            (_, _) if id.is_empty() => return Vec::new(),
            (Pane::Jobs, 'p') => Deed::Pause(id),
            (Pane::Jobs, 'r') => Deed::Resume(id),
            (Pane::Jobs, '+' | '=') => Deed::Priority(id, self.raised(1)),
            (Pane::Jobs, '-') => Deed::Priority(id, self.raised(-1)),
            (Pane::Jobs, 'K') => return self.ask(Deed::Kill(id)),
            (Pane::Workers, 'd') => return self.ask(Deed::Drain(id)),
            (Pane::Workers, 'r') => Deed::Undrain(id),
            (Pane::Jobs, 'd') => return self.say(Ok("d drains a worker: Tab goes to the workers".into())),
            (Pane::Workers, 'p' | 'K' | '+' | '=' | '-') => return self.say(Ok("that is for jobs: Tab goes to them".into())),
            _ => return Vec::new(),
        };
        vec![Ask::Do(deed)]
    }

    fn ask(&mut self, deed: Deed) -> Vec<Ask> {
        self.mode = Mode::Asking(deed.clone(), None);
        vec![Ask::Foretell(deed)]
    }

    /// The picked job's priority, one more or less. Noted at once, so that two keys in a row make two.
    fn raised(&mut self, by: i32) -> i32 {
        self.sight.jobs.get_mut(self.job.at).map_or(0, |job| {
            job.priority = job.priority.saturating_add(by);
            job.priority
        })
    }
}
