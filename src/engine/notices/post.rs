//! Letters, and those who are to have them: each gets all, in order, one at a time, and the next only when it has the last.
//!
//! What fails is tried again, after ever longer pauses, and given up after a day. Letters that have become too many go, the oldest first; who
//! has not had one of them is counted as having lost it. So it needs no more memory whoever is deaf, and for how long.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::Instant;
use crate::limits::{LETTER_GIVEN_UP_AFTER, LETTER_PAUSE_FIRST, LETTER_PAUSE_MAX, LETTERS_MAX, LETTERS_MAX_BYTES};

/// Something to be delivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// The event's word.
    pub event: String,
    /// As `j7`.
    pub job: String,
    /// For people, in a line.
    pub text: String,
    /// All of it.
    pub body: String,
}

/// What comes of a try that has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// After this.
    After(Duration),
    /// No more: it counts as lost.
    GivenUp,
}

/// One who gets them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Inbox {
    /// The number of the letter that is next.
    next: u64,
    /// Letters that it has not had and never will.
    lost: u64,
    #[serde(skip)]
    is_out: bool,
    /// Tries of the next one that have failed.
    #[serde(skip)]
    tries: u32,
    #[serde(skip)]
    first_try: Instant,
    #[serde(skip)]
    not_before: Instant,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Post {
    /// The number of the first that is kept.
    first: u64,
    letters: VecDeque<Letter>,
    /// Of their bodies.
    bytes: usize,
    inboxes: BTreeMap<String, Inbox>,
}

impl Post {
    /// These get letters, and no others. One that is new gets those to come.
    pub fn serves(&mut self, names: impl IntoIterator<Item = String>) {
        let end = self.end();
        let mut before = std::mem::take(&mut self.inboxes);
        let known = |name: String| {
            let kept = before.remove(&name).unwrap_or(Inbox { next: end, ..Inbox::default() });
            (name, kept)
        };
        self.inboxes = names.into_iter().map(known).collect();
        self.skip();
        self.forget();
    }

    /// How far one has come, as was noted apart from all this.
    pub fn has_come_to(&mut self, name: &str, next: u64, lost: u64) {
        let end = self.end();
        if let Some(it) = self.inboxes.get_mut(name) {
            it.next = it.next.max(next.min(end));
            it.lost = it.lost.max(lost);
        }
        self.forget();
    }

    /// How far each has come: its name, the number that is next, and how many it has lost.
    pub fn places(&self) -> impl Iterator<Item = (&str, u64, u64)> {
        self.inboxes.iter().map(|(name, it)| (name.as_str(), it.next, it.lost))
    }

    /// One more for all.
    pub fn add(&mut self, letter: Letter) {
        self.bytes += letter.body.len();
        self.letters.push_back(letter);
        while self.letters.len() > LETTERS_MAX || self.bytes > LETTERS_MAX_BYTES {
            self.drop_first();
        }
        self.skip();
        self.forget();
    }

    /// What is to be tried now: to whom, the number, and the letter. Each is out until it was delivered or has failed.
    pub fn due(&mut self, now: Instant) -> Vec<(String, u64, Letter)> {
        let mut due = Vec::new();
        for (name, it) in &mut self.inboxes {
            let letter = it.next.checked_sub(self.first).and_then(|at| usize::try_from(at).ok()).and_then(|at| self.letters.get(at));
            if let Some(letter) = letter.filter(|_| !it.is_out && it.not_before <= now) {
                it.is_out = true;
                if it.tries == 0 {
                    it.first_try = now;
                }
                due.push((name.clone(), it.next, letter.clone()));
            }
        }
        due
    }

    /// When there is something to be tried next, beside what is out.
    pub fn next_due(&self) -> Option<Instant> {
        self.inboxes.values().filter(|it| !it.is_out && it.next < self.end()).map(|it| it.not_before).min()
    }

    /// What was out is there.
    pub fn delivered(&mut self, name: &str) {
        let first = self.first;
        if let Some(it) = self.inboxes.get_mut(name) {
            *it = Inbox { next: it.next + 1, lost: it.lost, ..Inbox::default() };
            it.skips_to(first);
        }
        self.forget();
    }

    /// What was out is not.
    pub fn failed(&mut self, name: &str, now: Instant) -> Retry {
        let first = self.first;
        let Some(it) = self.inboxes.get_mut(name) else { return Retry::GivenUp };
        it.is_out = false;
        let is_kept = it.next >= first;
        if is_kept && now.since(it.first_try) < LETTER_GIVEN_UP_AFTER {
            let pause = LETTER_PAUSE_MAX.min(LETTER_PAUSE_FIRST.saturating_mul(1 << it.tries.min(20)));
            it.tries += 1;
            it.not_before = now.after(pause);
            return Retry::After(pause);
        }
        // Whoever was deaf so long is spared nothing by haste: the next is tried after the same pause.
        let not_before = now.after(LETTER_PAUSE_MAX);
        *it = Inbox { next: it.next + u64::from(is_kept), lost: it.lost + u64::from(is_kept), not_before, ..Inbox::default() };
        it.skips_to(first);
        self.forget();
        Retry::GivenUp
    }

    /// Whether all have all.
    pub fn is_empty(&self) -> bool {
        self.inboxes.values().all(|it| it.next >= self.end())
    }

    fn end(&self) -> u64 {
        self.first + self.letters.len() as u64
    }

    /// Drops what all have.
    fn forget(&mut self) {
        let wanted = self.inboxes.values().map(|it| it.next).min().unwrap_or(u64::MAX);
        while self.first < wanted && !self.letters.is_empty() {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        if let Some(letter) = self.letters.pop_front() {
            self.bytes = self.bytes.saturating_sub(letter.body.len());
            self.first += 1;
        }
    }

    /// Nobody is to have what is gone; of what is out it shows when it is back.
    fn skip(&mut self) {
        let first = self.first;
        for it in self.inboxes.values_mut().filter(|it| !it.is_out) {
            it.skips_to(first);
        }
    }
}

impl Inbox {
    fn skips_to(&mut self, first: u64) {
        if self.next < first {
            self.lost += first - self.next;
            (self.next, self.tries) = (first, 0);
        }
    }
}

#[cfg(test)]
mod tests;
