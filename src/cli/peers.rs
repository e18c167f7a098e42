//! Words of other programs that people bring along, where ours is another: what to say instead.

/// Their word, and a command line of ours that does the same.
const WORDS: &[(&str, &str)] = &[
    ("acl", "token list"),
    ("apply", "submit -f FILE"),
    ("cancel", "kill JOB --running stop"),
    ("config", "context list"),
    ("cordon", "worker drain WORKER"),
    ("create", "submit"),
    ("describe", "show JOB"),
    ("drain", "worker drain WORKER"),
    ("get", "list"),
    ("job", "list"),
    ("jobs", "list"),
    ("node", "worker list"),
    ("nodes", "worker list"),
    ("parallel", "run"),
    ("ps", "list --live"),
    ("queue", "list --live"),
    ("requeue", "retry JOB"),
    ("rerun", "retry JOB"),
    ("revoke", "principal revoke PRINCIPAL"),
    ("sacct", "tasks JOB"),
    ("sbatch", "submit"),
    ("scancel", "kill JOB --running stop"),
    ("scontrol", "show JOB"),
    ("sinfo", "worker list"),
    ("squeue", "list --live"),
    ("srun", "run"),
    ("start", "submit"),
    ("status", "list"),
    ("stop", "kill JOB --running stop"),
    ("strigger", "notify JOB --hook CMD"),
    ("suspend", "pause JOB --running freeze"),
    ("k9s", "top"),
    ("htop", "top"),
    ("tokens", "token list"),
    ("uncordon", "worker resume WORKER"),
    ("update", "priority JOB N"),
    ("user", "principal list"),
    ("users", "principal list"),
    ("whoami", "principal whoami"),
];

/// What to say instead of a verb that is none of ours.
pub(crate) fn instead_of(word: &str) -> Option<&'static str> {
    WORDS.iter().find(|(theirs, _)| *theirs == word).map(|(_, ours)| *ours)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn what_is_said_instead_exists_and_no_verb_of_ours_is_among_them() {
        let command = crate::cli::args::Cli::command();
        for (theirs, ours) in WORDS {
            let verb = ours.split(' ').next().unwrap();
            assert!(command.find_subcommand(verb).is_some(), "{ours}");
            assert!(command.find_subcommand(theirs).is_none(), "{theirs} is a verb");
        }
    }
}
