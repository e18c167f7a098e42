//! What an owner has, beside what he may have: whether there is room for more.

use crate::domain::{Error, Input, JobSpec, JobState, Quota, counted, short_size};

use super::view::JobView;

/// What an owner has now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Jobs that have not ended.
    pub jobs: u32,
    /// Their tasks that have not ended; of a job that is not split yet none is known.
    pub tasks: u64,
    /// Data sets, in bytes.
    pub stored_bytes: u64,
    /// Tasks in workers' hands, with what was granted and has not arrived.
    pub slots: u32,
}

impl Usage {
    /// One more job, as it is.
    pub fn add_job(&mut self, view: &JobView) {
        if view.state.is_final() {
            return;
        }
        self.jobs += 1;
        let left = u64::from(view.counts.undispatched) + u64::from(view.counts.running);
        // Of an array they are known before it has said so itself.
        self.tasks += if view.state == JobState::Ingesting { left.max(tasks_of(&view.spec)) } else { left };
    }

    /// One that is on its way to the disk.
    pub fn add_new_job(&mut self, spec: &JobSpec) {
        self.jobs += 1;
        self.tasks += tasks_of(spec);
    }

    /// Whether an owner who has this may have one more job that has not ended, of so many tasks that have not; 0 if they are not known yet.
    ///
    /// # Errors
    /// `Exhausted`.
    pub fn takes_job(&self, quota: Quota, owner: &str, tasks: u64) -> Result<(), Error> {
        if let Some(max) = quota.jobs.filter(|max| self.jobs >= *max) {
            let has = counted(self.jobs.into(), "job");
            return Err(Error::exhausted(format!("{owner} has {has} not ended, and a quota of {max}: wait for one to end, or kill one")));
        }
        self.task_room(owner, quota).map_or(Ok(()), |room| room.takes(tasks))
    }

    /// How many tasks more there may be; none if they are not limited.
    pub fn task_room(&self, owner: &str, quota: Quota) -> Option<TaskRoom> {
        quota.tasks.map(|max| TaskRoom { owner: owner.to_owned(), has: self.tasks, max })
    }
}

/// How many tasks more an owner with a quota may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskRoom {
    owner: String,
    has: u64,
    max: u64,
}

impl TaskRoom {
    /// Whether so many tasks of a new job are within it; 0 if they are not known yet.
    ///
    /// # Errors
    /// `Exhausted`.
    pub fn takes(&self, new: u64) -> Result<(), Error> {
        let Self { owner, has, max } = self;
        let sum = has.saturating_add(new.max(1));
        if sum <= *max {
            return Ok(());
        }
        let has = counted(*has, "task");
        let with = if new == 0 { String::new() } else { format!("; with the {new} of this job they would be {sum}") };
        Err(Error::exhausted(format!("{owner} has {has} not ended, and a quota of {max}{with}: wait for some to end, or kill a job")))
    }
}

/// A job's tasks, as far as they are known before a split.
pub fn tasks_of(spec: &JobSpec) -> u64 {
    match &spec.input {
        Input::Array(array) => array.count(),
        Input::Dataset { .. } => 0,
    }
}

/// What an owner with a quota may still store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRoom {
    /// Whose.
    pub owner: String,
    /// What he has, in bytes.
    pub stored: u64,
    /// What he may have.
    pub max: u64,
}

impl StoredRoom {
    /// What is left of it beside so many bytes that are on their way.
    #[must_use]
    pub fn beside(&self, coming: u64) -> Self {
        Self { stored: self.stored.saturating_add(coming), ..self.clone() }
    }

    /// Whether so many bytes are within it.
    ///
    /// # Errors
    /// `Exhausted`.
    pub fn takes(&self, more: u64) -> Result<(), Error> {
        if self.stored.saturating_add(more) <= self.max {
            return Ok(());
        }
        let Self { owner, stored, max } = self;
        let (stored, more, max) = (short_size(*stored), short_size(more), short_size(*max));
        Err(Error::exhausted(format!(
            "{owner} has {stored} of data sets, and a quota of {max}: there is no room for {more} more; `millpond data delete` makes some"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ArrayRange;
    use crate::domain::testing::job_spec;
    use crate::engine::roster::tests::{a_job, begun};

    fn array(tasks: u32) -> JobSpec {
        JobSpec { owner: "ana".into(), input: Input::Array(ArrayRange { first: 1, last: tasks, step: 1 }), ..job_spec() }
    }

    #[test]
    fn a_job_is_taken_as_long_as_it_and_its_tasks_are_within_the_quota() {
        let mut usage = Usage::default();
        usage.add_job(&begun(a_job(1, "ana", 10), 4));
        usage.add_new_job(&array(20));
        assert_eq!((usage.jobs, usage.tasks), (2, 30));
        let quota = Quota { jobs: Some(3), tasks: Some(40), ..Quota::default() };
        assert_eq!(usage.takes_job(quota, "ana", 10), Ok(()));
        let says = |quota, tasks| usage.takes_job(quota, "ana", tasks).unwrap_err().message;
        assert_eq!(
            says(quota, 11),
            "ana has 30 tasks not ended, and a quota of 40; with the 11 of this job they would be 41: wait for some to end, or kill a job"
        );
        assert_eq!(
            says(Quota { jobs: Some(2), ..quota }, 1),
            "ana has 2 jobs not ended, and a quota of 2: wait for one to end, or kill one"
        );
        assert_eq!(usage.takes_job(Quota::default(), "ana", u64::MAX), Ok(()));
    }

    #[test]
    fn of_a_job_that_is_not_split_yet_a_task_at_least_has_to_fit() {
        let usage = Usage { tasks: 40, ..Usage::default() };
        let room = |max| usage.task_room("ana", Quota { tasks: Some(max), ..Quota::default() }).unwrap();
        assert_eq!(
            room(40).takes(0).unwrap_err().message,
            "ana has 40 tasks not ended, and a quota of 40: wait for some to end, or kill a job"
        );
        assert!(room(41).takes(0).is_ok() && room(41).takes(1).is_ok() && room(41).takes(2).is_err());
        assert!(room(u64::MAX).takes(u64::MAX).is_ok(), "no sum is too large");
    }

    #[test]
    fn what_is_stored_is_within_the_quota_to_the_byte() {
        let room = StoredRoom { owner: "ana".into(), stored: 1 << 30, max: 3 << 30 };
        assert!(room.takes(2 << 30).is_ok());
        assert_eq!(
            room.takes((2 << 30) + 1).unwrap_err().message,
            "ana has 1.0 GiB of data sets, and a quota of 3.0 GiB: there is no room for 2.0 GiB more; `millpond data delete` makes some"
        );
        assert!(room.beside(1 << 30).takes(1 << 30).is_ok() && room.beside(u64::MAX).takes(1).is_err());
    }
}
