//! A task's environment: the worker's own, then what the job sets, then what Millpond says about the task. Pure.

use std::collections::BTreeMap;
use std::ffi::OsString;

use crate::domain::{Error, Resources};
use crate::limits::COMMAND_MAX_BYTES;

/// Variables of ours. A worker's own (its token, its head) are no business of tasks.
const OURS: &str = "MILLPOND_";
/// True of the worker's working folder only.
const OF_THE_FOLDER: [&str; 2] = ["PWD", "OLDPWD"];

/// What programs take their number of threads from, OpenMP's runtime above all.
const THREADS: &str = "OMP_NUM_THREADS";

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
    /// `MILLPOND_CPUS` and `MILLPOND_MEM_BYTES`: what of it the job asks for.
    pub needs: &'a Resources,
    /// `MILLPOND_GPUS` and `CUDA_VISIBLE_DEVICES`: the processors that are its own, perhaps none; not set where the machine has none at all.
    pub gpus: Option<&'a [u32]>,
}

impl TaskVariables<'_> {
    fn pairs(&self) -> impl Iterator<Item = (&'static str, String)> {
        let input = self.input.map(|input| ("MILLPOND_INPUT", input.to_owned()));
        let cpus = (self.needs.cpus > 0).then(|| ("MILLPOND_CPUS", self.needs.cpus.to_string()));
        let mem = (self.needs.mem_bytes > 0).then(|| ("MILLPOND_MEM_BYTES", self.needs.mem_bytes.to_string()));
        let gpus = self.gpus.map(|gpus| gpus.iter().map(u32::to_string).collect::<Vec<_>>().join(","));
        // A task that asked for none must not find those of others: an empty list says so to CUDA.
        let gpus = gpus.into_iter().flat_map(|gpus| [("MILLPOND_GPUS", gpus.clone()), ("CUDA_VISIBLE_DEVICES", gpus)]);
        let others = [
            ("MILLPOND_JOB", self.job.to_owned()),
            ("MILLPOND_TASK", self.task.to_owned()),
            ("MILLPOND_INDEX", self.index.to_string()),
            ("MILLPOND_COUNT", self.count.to_string()),
            ("MILLPOND_ATTEMPT", self.attempt.to_string()),
            ("MILLPOND_OUTPUT", self.output.to_owned()),
        ];
        others.into_iter().chain(input).chain(cpus).chain(mem).chain(gpus)
    }

    /// Where nobody else has said so, a task starts as many threads as it has processors: the system tells it those of the whole machine.
    fn threads(&self) -> Option<(String, String)> {
        (self.needs.cpus > 0).then(|| (THREADS.to_owned(), self.needs.cpus.to_string()))
    }
}

/// What tasks find of `base` (the worker's own, as from `std::env::vars_os`), whatever job they belong to.
///
/// Variables that are not UTF-8 are left out, and so are `MILLPOND_…` and `PWD`.
pub fn inherited_env(base: impl IntoIterator<Item = (OsString, OsString)>) -> Vec<(String, String)> {
    let base = base.into_iter().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    base.filter(|(name, _)| !name.starts_with(OURS) && !OF_THE_FOLDER.contains(&name.as_str())).collect()
}

/// What a task finds besides, or instead of, what it inherits; sorted, each name once. What comes later in the title of this file wins.
pub fn task_env(inherited: &[(String, String)], spec: &[(String, String)], own: &TaskVariables<'_>) -> Vec<(String, String)> {
    let threads = own.threads().filter(|(name, _)| inherited.iter().all(|(inherited, _)| inherited != name));
    let own = own.pairs().map(|(name, value)| (name.to_owned(), value));
    let env: BTreeMap<String, String> = threads.into_iter().chain(spec.iter().cloned()).chain(own).collect();
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
        let needs = Resources::default();
        let own = of_task(&needs, None);
        let inherited = inherited_env(base);
        assert_eq!(inherited, [pair("PATH", "/bin"), pair("LANG", "C")]);
        let env = task_env(&inherited, &[pair("LANG", "de"), pair("MILLPOND_JOB", "lie"), pair("MILLPOND_HEAD", "given")], &own);
        let expected = [
            pair("LANG", "de"),
            pair("MILLPOND_ATTEMPT", "1"),
            pair("MILLPOND_COUNT", "9"),
            pair("MILLPOND_HEAD", "given"),
            pair("MILLPOND_INDEX", "4"),
            pair("MILLPOND_JOB", "j7"),
            pair("MILLPOND_OUTPUT", "/o"),
            pair("MILLPOND_TASK", "j7.4"),
        ];
        assert_eq!(env, expected);
    }

    fn of_task<'a>(needs: &'a Resources, gpus: Option<&'a [u32]>) -> TaskVariables<'a> {
        TaskVariables { job: "j7", task: "j7.4", index: 4, count: 9, attempt: 1, input: None, output: "/o", needs, gpus }
    }

    #[test]
    fn a_task_is_told_what_is_its_own() {
        let needs = Resources { cpus: 4, mem_bytes: 1 << 30, gpus: 2, ..Resources::default() };
        let told = |base: &[(&str, &str)], spec: &[(String, String)], needs: &Resources, gpus: Option<&[u32]>| {
            let base: Vec<_> = base.iter().map(|(name, value)| pair(name, value)).collect();
            let env = task_env(&base, spec, &of_task(needs, gpus));
            let about = ["CUDA_VISIBLE_DEVICES", "MILLPOND_CPUS", "MILLPOND_GPUS", "MILLPOND_MEM_BYTES", "OMP_NUM_THREADS"];
            about.map(|name| env.iter().chain(&base).find(|(key, _)| key == name).map(|(_, value)| value.clone()).unwrap_or("unset".into()))
        };
        assert_eq!(told(&[], &[], &needs, Some(&[0, 3])), ["0,3", "4", "0,3", "1073741824", "4"]);
        let nothing = Resources::default();
        assert_eq!(told(&[], &[], &nothing, Some(&[])), ["", "unset", "", "unset", "unset"], "not those of others");
        assert_eq!(told(&[("CUDA_VISIBLE_DEVICES", "1")], &[], &nothing, None)[0], "1", "the worker has none to give");
        assert_eq!(told(&[], &[pair("CUDA_VISIBLE_DEVICES", "0,1")], &nothing, Some(&[]))[0], "", "nor by its own word");
        assert_eq!(told(&[("OMP_NUM_THREADS", "2")], &[], &needs, None)[4], "2", "the machine says otherwise");
        assert_eq!(told(&[("OMP_NUM_THREADS", "2")], &[pair("OMP_NUM_THREADS", "1")], &needs, None)[4], "1", "the job does");
    }

    #[test]
    fn an_impossible_variable_is_refused() {
        check_env(&[pair("A", "b=c"), pair("B", "")]).unwrap();
        for bad in [pair("", "x"), pair("A=B", "x"), pair("A\0", "x"), pair("A", "\0"), pair("A", &"x".repeat(COMMAND_MAX_BYTES))] {
            assert!(check_env(&[bad]).is_err());
        }
    }
}
