//! A task's environment: the worker's own, then what the job sets, then what Millpond says about the task. Pure.

use std::collections::BTreeMap;
use std::ffi::OsString;

use crate::domain::Error;
use crate::limits::COMMAND_MAX_BYTES;

/// Variables of ours. A worker's own (its token, its head) are no business of tasks.
const OURS: &str = "MILLPOND_";
/// True of the worker's working folder only.
const OF_THE_FOLDER: [&str; 2] = ["PWD", "OLDPWD"];

/// What a task is told about itself.
#[derive(Clone, Copy, Debug)]
pub struct TaskVariables<'a> {
    /// `MILLPOND_JOB`, as in `j7`.
    pub job: &'a str,
    /// `MILLPOND_TASK`, as in `j7.42`.
    pub task: &'a str,
    /// `MILLPOND_INDEX`: as the user counts, without leading zeros.
    pub index: u64,
    /// `MILLPOND_COUNT`: how many tasks the job has.
    pub count: u64,
    /// `MILLPOND_ATTEMPT`, from 1.
    pub attempt: u32,
    /// `MILLPOND_INPUT`: the chunk's path; not set for an array job.
    pub input: Option<&'a str>,
    /// `MILLPOND_OUTPUT`: the task's output folder.
    pub output: &'a str,
}

impl TaskVariables<'_> {
    fn pairs(&self) -> impl Iterator<Item = (&'static str, String)> {
        let input = self.input.map(|input| ("MILLPOND_INPUT", input.to_owned()));
        let others = [
            ("MILLPOND_JOB", self.job.to_owned()),
            ("MILLPOND_TASK", self.task.to_owned()),
            ("MILLPOND_INDEX", self.index.to_string()),
            ("MILLPOND_COUNT", self.count.to_string()),
            ("MILLPOND_ATTEMPT", self.attempt.to_string()),
            ("MILLPOND_OUTPUT", self.output.to_owned()),
        ];
        others.into_iter().chain(input)
    }
}

/// The whole environment of a task, sorted, each name once; what comes later in the title of this file wins.
///
/// Of `base` (the worker's, as from `std::env::vars_os`) variables that are not UTF-8 are left out, and so are `MILLPOND_…` and `PWD`.
pub fn task_env(
    base: impl IntoIterator<Item = (OsString, OsString)>,
    spec: &[(String, String)],
    own: &TaskVariables<'_>,
) -> Vec<(String, String)> {
    let base = base.into_iter().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let inherited = base.filter(|(name, _)| !name.starts_with(OURS) && !OF_THE_FOLDER.contains(&name.as_str()));
    let own = own.pairs().map(|(name, value)| (name.to_owned(), value));
    let env: BTreeMap<String, String> = inherited.chain(spec.iter().cloned()).chain(own).collect();
    env.into_iter().collect()
}

/// Refuses variables that no process can have, and more of them than a job may set.
pub fn check_env(env: &[(String, String)]) -> Result<(), Error> {
    for (name, value) in env {
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(Error::invalid(format!("`{}` can't be the name of a variable: write --env NAME=VALUE", name.escape_debug())));
        }
        if value.contains('\0') {
            return Err(Error::invalid(format!("variable {name} holds a NUL character: no program can get it")));
        }
    }
    // `NAME=VALUE` and its terminating NUL.
    let len = env.iter().map(|(name, value)| name.len() + value.len() + 2).sum::<usize>();
    if len > COMMAND_MAX_BYTES {
        return Err(Error::invalid(format!(
            "the environment is {len} bytes long, more than {COMMAND_MAX_BYTES}: put it into a file and give that with `--with`"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.into(), value.into())
    }

    #[test]
    fn the_job_overrides_the_worker_and_millpond_overrides_both() {
        let base = ["PATH=/bin", "LANG=C", "PWD=/x", "MILLPOND_TOKEN=secret"].map(|text| text.split_once('=').unwrap());
        let odd = (OsString::from("ODD"), OsString::from_vec(vec![0xff]));
        let base = base.into_iter().map(|(name, value)| (name.into(), value.into())).chain([odd]);
        let own = TaskVariables { job: "j7", task: "j7.4", index: 4, count: 9, attempt: 1, input: None, output: "/o" };
        let env = task_env(base, &[pair("LANG", "de"), pair("MILLPOND_JOB", "lie"), pair("MILLPOND_HEAD", "given")], &own);
        let expected = [
            pair("LANG", "de"),
            pair("MILLPOND_ATTEMPT", "1"),
            pair("MILLPOND_COUNT", "9"),
            pair("MILLPOND_HEAD", "given"),
            pair("MILLPOND_INDEX", "4"),
            pair("MILLPOND_JOB", "j7"),
            pair("MILLPOND_OUTPUT", "/o"),
            pair("MILLPOND_TASK", "j7.4"),
            pair("PATH", "/bin"),
        ];
        assert_eq!(env, expected);
    }

    #[test]
    fn an_impossible_variable_is_refused() {
        check_env(&[pair("A", "b=c"), pair("B", "")]).unwrap();
        for bad in [pair("", "x"), pair("A=B", "x"), pair("A\0", "x"), pair("A", "\0"), pair("A", &"x".repeat(COMMAND_MAX_BYTES))] {
            assert!(check_env(&[bad]).is_err());
        }
    }
}
