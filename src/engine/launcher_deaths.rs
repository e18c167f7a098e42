//! Under which tasks launchers died on this worker: a task that runs again after each death would do so for ever.

use std::collections::VecDeque;

use crate::domain::wire::Lease;
use crate::domain::{JobId, TaskNo};
use crate::limits;

/// The latest deaths, oldest first.
#[derive(Debug, Default)]
pub struct LauncherDeaths(VecDeque<(JobId, TaskNo)>);

impl LauncherDeaths {
    /// One more; whether it is one too many for its task, which begins anew then.
    pub fn are_too_many(&mut self, lease: &Lease) -> bool {
        let task = (lease.job, lease.no);
        self.0.push_back(task);
        if self.0.len() > limits::LAUNCHER_DEATHS_REMEMBERED_MAX {
            self.0.pop_front();
        }
        let too_many = self.0.iter().filter(|died| **died == task).count() >= limits::LAUNCHER_DEATHS_MAX;
        if too_many {
            self.0.retain(|died| *died != task);
        }
        too_many
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Attempt, Epoch};

    fn lease(no: u32) -> Lease {
        Lease { job: JobId(7), no: TaskNo(no), attempt: Attempt(1), epoch: Epoch(1) }
    }

    #[test]
    fn each_task_has_its_own_count_which_begins_anew_at_the_end() {
        let mut deaths = LauncherDeaths::default();
        let told: Vec<bool> = [1, 1, 2, 1, 1, 2, 2].into_iter().map(|no| deaths.are_too_many(&lease(no))).collect();
        assert_eq!(told, [false, false, false, true, false, false, true]);
    }

    #[test]
    fn what_it_remembers_is_bounded() {
        let mut deaths = LauncherDeaths::default();
        assert!((0..10_000).all(|no| !deaths.are_too_many(&lease(no))));
        assert_eq!(deaths.0.len(), limits::LAUNCHER_DEATHS_REMEMBERED_MAX);
    }
}
