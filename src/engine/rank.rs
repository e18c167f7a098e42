//! Whose task goes next.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::limits::{FINISH_LINE_PERCENT, FINISH_LINE_SLOTS_FACTOR};

use super::view::JobView;

/// What the order depends on besides the jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RankRules {
    /// Share of started tasks, in percent, from which on a job is almost done.
    pub finish_line_percent: u64,
    /// A job past the line has no more tasks left than this.
    pub finish_line_max_tasks: u32,
}

impl Default for RankRules {
    /// Of a cluster that has no slots yet.
    fn default() -> Self {
        Self::for_slots(0)
    }
}

impl RankRules {
    /// The defaults for a cluster of so many slots.
    pub fn for_slots(slots: u32) -> Self {
        Self { finish_line_percent: FINISH_LINE_PERCENT, finish_line_max_tasks: slots.saturating_mul(FINISH_LINE_SLOTS_FACTOR) }
    }
}

/// The rule that decided a job's place against the one behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// It is almost done.
    FinishLine,
    /// It has the higher priority.
    Priority,
    /// Its owner holds fewer slots.
    FairShare,
    /// It is older.
    Age,
}

impl Rule {
    /// As `explain` names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::FinishLine => "finish line",
            Self::Priority => "priority",
            Self::FairShare => "fair share",
            Self::Age => "age",
        }
    }
}

/// Whether the job is almost done: so much of it has started, and so little is left.
///
/// Only a job that has started anything can be: a flood of tiny jobs gains nothing.
pub fn past_finish_line(job: &JobView, rules: RankRules) -> bool {
    let counts = job.counts;
    let begun = u64::from(counts.total - counts.undispatched);
    begun > 0 && begun * 100 >= u64::from(counts.total) * rules.finish_line_percent && counts.undispatched <= rules.finish_line_max_tasks
}

/// A job's place: the smaller key goes first.
pub type Key = (bool, Reverse<i32>, u32, u64);

/// Orders jobs by these rules, the first that differs decides:
///
/// 1. **Finish line.** A job past its finish line goes before all that are not: it is not trumped by a more important one.
/// 2. **Priority.** Higher first.
/// 3. **Fair share.** The job whose owner holds fewer busy slots first (`busy`: owner → slots, with what was granted but has not arrived).
/// 4. **Age.** The older first.
///
/// The order is total, as no two jobs have the same number, so it is the same at every head and after every restart.
///
/// **The bound.** A job of the highest priority waits for tasks of others only (a) while they run, as nothing is taken from a running task,
/// and (b) for jobs past their finish line. Such a job has at most `finish_line_max_tasks` undispatched tasks, and it entered only by
/// having started 95 % of its own. Its owner can't refill it, since a job's tasks are fixed when it is split. Jobs that are not past the
/// line, and are outranked, hand nothing out while the urgent one wants slots, so none of them can cross the line in the meantime: the jobs
/// that may pass ahead are those past the line when the urgent job arrived, with together at most `jobs past the line ×
/// finish_line_max_tasks` tasks; with the default of 4 × slots that is four rounds of the cluster per such job, however large it was.
pub fn key(job: &JobView, busy: &BTreeMap<String, u32>, rules: RankRules) -> Key {
    let owner_busy = busy.get(&job.spec.owner).copied().unwrap_or(0);
    (!past_finish_line(job, rules), Reverse(job.priority), owner_busy, job.id.0)
}

/// The first rule in which two keys differ.
pub fn deciding_rule(first: &Key, second: &Key) -> Rule {
    if first.0 != second.0 {
        Rule::FinishLine
    } else if first.1 != second.1 {
        Rule::Priority
    } else if first.2 != second.2 {
        Rule::FairShare
    } else {
        Rule::Age
    }
}

#[cfg(test)]
mod tests {
    use super::super::roster::tests::{a_job, begun};
    use super::*;

    #[test]
    fn the_line_is_crossed_at_95_percent_started_and_few_enough_left() {
        let rules = RankRules::for_slots(2);
        let past = |total, running| past_finish_line(&begun(a_job(1, "ada", total), running), rules);
        assert!(!past(1, 0) && !past(20, 0), "nothing has started");
        assert!(!past(20, 18) && past(20, 19) && past(20, 20));
        assert!(!past(1000, 991) && past(1000, 992), "at most 8 left with 2 slots");
        assert!(!past_finish_line(&a_job(1, "ada", 0), rules), "no tasks, no line");
    }

    #[test]
    fn no_cluster_is_so_large_that_the_bound_overflows() {
        assert_eq!(RankRules::for_slots(u32::MAX).finish_line_max_tasks, u32::MAX);
    }

    #[test]
    fn the_order_is_total_and_the_deciding_rule_is_the_first_that_differs() {
        let (busy, rules) = (BTreeMap::from([("ada".to_owned(), 3)]), RankRules::for_slots(4));
        let mut urgent = a_job(9, "ada", 50);
        urgent.priority = 1;
        let jobs = [begun(a_job(8, "ada", 40), 39), urgent, a_job(7, "bob", 50), a_job(3, "ada", 50), a_job(4, "ada", 50)];
        let keys: Vec<Key> = jobs.iter().map(|job| key(job, &busy, rules)).collect();
        assert!(keys.windows(2).all(|pair| pair[0] < pair[1]), "{keys:?}");
        let rules: Vec<Rule> = keys.windows(2).map(|pair| deciding_rule(&pair[0], &pair[1])).collect();
        assert_eq!(rules, [Rule::FinishLine, Rule::Priority, Rule::FairShare, Rule::Age]);
    }
}
