//! A shell line of the admin's, run in our place.

use std::fs::File;
use std::io::{Seek, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, Signal, kill_process_group};

/// How often it is looked whether a hook has ended.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// See the module. What it prints goes where ours goes.
pub(crate) struct Hook {
    pub(crate) line: String,
    pub(crate) env: Vec<(&'static str, String)>,
    /// Its standard input.
    pub(crate) input: String,
    /// After which it, and all that it has started in its process group, is killed.
    pub(crate) timeout: Duration,
}

impl Hook {
    /// Runs it to its end; why it failed, if it did.
    pub(crate) async fn run(self) -> Result<(), String> {
        let ran = tokio::task::spawn_blocking(move || self.run_here()).await;
        ran.unwrap_or_else(|error| Err(format!("it can't be run: {error}")))
    }

    fn run_here(self) -> Result<(), String> {
        let mut command = Command::new("/bin/sh");
        let input = stdin_of(&self.input).map_err(|error| format!("its standard input can't be made: {error}"))?;
        command.args(["-c", &self.line]).envs(self.env).stdin(input).process_group(0);
        let mut child = command.spawn().map_err(|error| format!("it can't be started: {error}"))?;
        let began = Instant::now();
        loop {
            match child.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => {
                    return Err(match (status.code(), status.signal()) {
                        (Some(code), _) => format!("it ended with exit code {code}"),
                        (None, signal) => format!("it was killed by signal {}", signal.unwrap_or_default()),
                    });
                }
                Ok(None) if began.elapsed() >= self.timeout => {
                    if let Some(group) = Pid::from_raw(child.id().cast_signed()) {
                        let _ = kill_process_group(group, Signal::KILL);
                    }
                    let _ = child.wait();
                    return Err(format!("it took longer than {} s, and was killed", self.timeout.as_secs_f64()));
                }
                Ok(None) => std::thread::sleep(LOOK_EVERY),
                Err(error) => return Err(format!("nobody knows how it ended: {error}")),
            }
        }
    }
}

/// A file in memory, and no pipe: nobody has to wait until it is read, which it may never be.
fn stdin_of(text: &str) -> std::io::Result<Stdio> {
    if text.is_empty() {
        return Ok(Stdio::null());
    }
    let mut file = File::from(memfd_create("hook", MemfdFlags::CLOEXEC)?);
    file.write_all(text.as_bytes())?;
    file.rewind()?;
    Ok(file.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn run(line: &str, timeout: Duration) -> Result<(), String> {
        Hook { line: line.into(), env: vec![("MILLPOND_COUNT", "3".into())], input: String::new(), timeout }.run().await
    }

    #[tokio::test]
    async fn how_a_hook_ended_is_said() {
        let long = Duration::from_secs(60);
        assert_eq!(run("test $MILLPOND_COUNT = 3", long).await, Ok(()));
        assert_eq!(run("exit 4", long).await, Err("it ended with exit code 4".into()));
        assert_eq!(run("kill -9 $$", long).await, Err("it was killed by signal 9".into()));
    }

    #[tokio::test]
    async fn a_hook_has_what_it_is_told_on_its_standard_input_whether_it_reads_it_or_not() {
        let (input, timeout) = ("x".repeat(1 << 20), Duration::from_secs(60));
        for line in ["test $(wc -c) = 1048576", "true", "head -c 1 > /dev/null"] {
            assert_eq!(Hook { line: line.into(), env: vec![], input: input.clone(), timeout }.run().await, Ok(()), "{line}");
        }
        assert_eq!(run("test $(wc -c) = 0", timeout).await, Ok(()));
    }

    #[tokio::test]
    async fn a_hook_that_hangs_is_killed_with_what_it_has_started() {
        let (dir, began) = (tempfile::tempdir().unwrap(), Instant::now());
        let pid = dir.path().join("pid");
        let line = format!("sleep 600 & echo $! > {0}.new; mv {0}.new {0}; wait", pid.display());
        let refused = run(&line, Duration::from_secs(1)).await;
        assert_eq!(refused, Err("it took longer than 1 s, and was killed".into()));
        assert!(began.elapsed() < Duration::from_secs(30));
        let pid = std::fs::read_to_string(pid).unwrap();
        // It was killed, and ends when it next runs.
        let runs = || std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).is_ok_and(|stat| !stat.contains(") Z "));
        while runs() {
            assert!(began.elapsed() < Duration::from_secs(30), "it goes on");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
