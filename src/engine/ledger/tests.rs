use std::sync::Arc;

use super::part::{OWNERS_PER_PART, TASKS_PER_PART};
use super::*;
use crate::domain::identity::Admitted;
use crate::domain::testing::submitted;
use crate::domain::verb::Said;
use crate::domain::{Attempt, EtaScore, IndexSet, JobSpec, TaskNo};
use crate::engine::record::{Failures, Rounds};

/// Every third task from `first` on.
fn combed(first: u32, count: u32) -> IndexSet {
    (0..count).map(|at| TaskNo(first + 3 * at)).collect()
}

fn said() -> Said {
    Said { at: WallTime(1), verb: crate::domain::verb::Verb::Pause, by: "ada".into(), reason: "lunch".into() }
}

#[test]
fn a_job_of_ever_so_many_scattered_tasks_fits_parts_of_a_bounded_size() {
    for count in [10, 70_000, 200_000] {
        let mut job = JobRecord::new(submitted(1));
        job.total = Some(10_000_000);
        job.succeeded = combed(9_000_000, count);
        job.failed = combed(1, count);
        job.failures = (0..count).map(|no| (TaskNo(8_000_000 + no), Failures { count: 3, last: Attempt(70_000) })).collect();
        job.rounds.retried = 2;
        job.said = Arc::new((0..count / 10_000).map(|_| said()).collect());
        job.eta_score = EtaScore { checks: count / 10_000, inside: count / 20_000 };
        job.first_spec = (count == 70_000).then(|| Arc::new(crate::domain::testing::job_spec()));
        job.rounds.put_freed(&combed(2, count), Attempt(4));
        job.rounds.put_freed(&combed(3, count), Attempt(9));
        let mut ledger = Ledger::default();
        ledger.put_job(job);
        let mut read = Ledger::default();
        let mut parts = 0;
        for mut part in ledger.parts() {
            parts += 1;
            let tasks = match &mut part {
                LedgerPart::Job(job) => {
                    // Its bytes know no rounds.
                    job.rounds = Rounds::default();
                    job.succeeded.runs_len() + job.failed.runs_len() + job.failures.len()
                }
                LedgerPart::Tasks(_, sets) => sets.succeeded.runs_len() + sets.failed.runs_len() + sets.failures.len(),
                LedgerPart::Rounds(_, rounds) => rounds.freed.iter().map(|(tasks, _)| tasks.runs_len()).sum(),
                LedgerPart::Freed(_, tasks, _) => tasks.runs_len(),
                LedgerPart::Losses(_, losses) => losses.len(),
                LedgerPart::Dataset(..) | LedgerPart::Worker(..) | LedgerPart::Terms(..) => 0,
                LedgerPart::LastJob(_)
                | LedgerPart::Gone(..)
                | LedgerPart::FirstSpec(..)
                | LedgerPart::Deletion(_)
                | LedgerPart::Said(..)
                | LedgerPart::Token(_)
                | LedgerPart::Principal(_)
                | LedgerPart::DatasetOwners(..)
                | LedgerPart::Quota(..)
                | LedgerPart::Image(..)
                | LedgerPart::EtaScore(..) => 0,
            };
            assert!(tasks <= TASKS_PER_PART, "{tasks}");
            read.put(part);
        }
        assert!(read == ledger, "{count}");
        assert_eq!(parts == 2, count == 10, "{parts}");
    }
}

#[test]
fn an_image_comes_back_from_the_entry_and_the_parts_also_behind_a_retry() {
    let mut begun = submitted(1);
    begun.spec.image = "debian:12".parse().ok();
    let mut ledger = Ledger::default();
    ledger.apply(&Entry::accepted(begun));
    ledger.jobs.values_mut().for_each(|job| job.first_spec = Some(job.spec.clone()));
    let mut read = Ledger::default();
    for mut part in ledger.parts() {
        // Their bytes know no image.
        match &mut part {
            LedgerPart::Job(job) => Arc::make_mut(&mut job.spec).image = None,
            LedgerPart::FirstSpec(_, spec) => spec.image = None,
            _ => {}
        }
        read.put(part);
    }
    let has_it = |spec: &JobSpec| spec.image.as_ref().is_some_and(|image| image.as_str() == "debian:12");
    let job = read.jobs.get(&JobId(1)).unwrap();
    assert!(has_it(&job.spec) && has_it(job.as_submitted()));
}

#[test]
fn owners_and_identities_come_back_from_the_parts_and_owners_go_with_their_data_set() {
    use crate::domain::identity::{IdentityEntry, Issued};
    use crate::domain::{Principal, PrincipalId, Role};
    let digest = Digest([1; 32]);
    let mut ledger = Ledger::default();
    let owned = |owner: &str| Entry::DatasetOwned { digest, owner: owner.into() };
    ledger.apply(&owned("too early"));
    ledger.apply(&Entry::DatasetAdded { digest, name: "x".into(), len: 1, at: WallTime(0) });
    let many: Vec<String> = (0..2 * OWNERS_PER_PART + 1).map(|no| format!("u{no}")).collect();
    many.iter().for_each(|owner| ledger.apply(&owned(owner)));
    let principal = Principal { id: PrincipalId::from_random(7), name: "ana".into(), role: Role::Submitter };
    let issued = Issued { serial: 1, expires: WallTime(9) };
    let admitted = Admitted { principal, token: None, key: digest, at: WallTime(0), issued, revoked: None };
    ledger.apply(&Entry::Identity(IdentityEntry::Admitted(Box::new(admitted))));
    let mut read = Ledger::default();
    ledger.parts().for_each(|part| read.put(part));
    assert!(read == ledger);
    assert_eq!(read.dataset_owners.get(&digest).map(BTreeSet::len), Some(many.len()));
    ledger.apply(&Entry::DatasetDisowned { digest, owner: "u0".into() });
    assert_eq!(ledger.dataset_owners.get(&digest).map(BTreeSet::len), Some(many.len() - 1));
    ledger.apply(&Entry::DatasetDeleted { digest });
    assert!(ledger.dataset_owners.is_empty());
}

#[test]
fn a_deleted_job_leaves_its_number_and_for_a_week_its_request() {
    const DAY: i64 = 24 * 3600 * 1_000_000;
    let mut ledger = Ledger::default();
    for job in 1..=3 {
        let submitted = crate::domain::entry::Submitted { request_id: format!("r-{job}"), ..submitted(job) };
        ledger.apply(&Entry::accepted(submitted));
    }
    ledger.apply(&Entry::JobDeleted { job: JobId(3), at: WallTime(0) });
    ledger.apply(&Entry::JobDeleted { job: JobId(3), at: WallTime(DAY) });
    assert_eq!((ledger.next_job(), ledger.gone.get("r-3").map(|gone| gone.job)), (JobId(4), Some(JobId(3))));
    assert!(!ledger.requests.contains_key("r-3"));
    ledger.apply(&Entry::JobDeleted { job: JobId(2), at: WallTime(6 * DAY) });
    assert_eq!(ledger.gone.len(), 2);
    ledger.apply(&Entry::JobDeleted { job: JobId(1), at: WallTime(7 * DAY) });
    assert_eq!(ledger.gone.keys().collect::<Vec<_>>(), ["r-1", "r-2"]);
    assert_eq!(ledger.next_job(), JobId(4));
}
