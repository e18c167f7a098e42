//! Remedies as they can be typed.

use crate::domain::{CONTAINERS_LABEL, Quota, Resources, shell_word};

/// The options of a worker on which tasks of these needs run: ` --cpus 4 --label zone=a`.
pub fn worker_options(needs: &Resources) -> String {
    let amounts = [("cpus", u64::from(needs.cpus)), ("mem", needs.mem_bytes), ("gpus", u64::from(needs.gpus))];
    let amounts = amounts.into_iter().filter(|(_, amount)| *amount > 0).map(|(name, amount)| format!(" --{name} {amount}"));
    let label = |(name, value): (&String, &String)| match name.as_str() {
        CONTAINERS_LABEL => " --containers podman".to_owned(),
        name => format!(" --label {}", shell_word(&format!("{name}={value}"))),
    };
    amounts.chain(needs.labels.iter().map(label)).collect()
}

/// Gives an owner a quota of so many slots, with all else as it is: what is not named would not be limited.
pub fn quota_with_slots(owner: &str, quota: Quota, slots: u32) -> String {
    let Quota { jobs, tasks, stored_bytes, slots: _ } = quota;
    let others = [("jobs", jobs.map(u64::from)), ("tasks", tasks), ("stored", stored_bytes)];
    let others: String = others.into_iter().filter_map(|(name, max)| Some(format!(" --{name} {}", max?))).collect();
    format!("millpond quota set {} --slots {slots}{others}", shell_word(owner))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_gets_all_that_is_asked_for() {
        let labels = [("gpu".to_owned(), "a100".to_owned())].into();
        let needs = Resources { cpus: 2, mem_bytes: 1 << 30, gpus: 1, labels };
        assert_eq!(worker_options(&needs), " --cpus 2 --mem 1073741824 --gpus 1 --label gpu=a100");
        assert_eq!(worker_options(&Resources::default()), "");
        assert_eq!(worker_options(&Resources::default().with_containers(true)), " --containers podman");
    }

    #[test]
    fn a_quota_keeps_its_other_limits() {
        let quota = Quota { jobs: Some(3), stored_bytes: Some(500), slots: Some(1), tasks: None };
        assert_eq!(quota_with_slots("ana", quota, 4), "millpond quota set ana --slots 4 --jobs 3 --stored 500");
    }
}
