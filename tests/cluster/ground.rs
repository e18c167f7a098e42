//! Where a test stands: a temporary folder, the programs as users start them there, and, at the end, the check that nothing is left.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use super::process::{self, until};

/// In the environment of everything that a test starts: whose it is. Not `MILLPOND_…`, which tasks don't inherit.
pub const MARK: &str = "POND_TEST";
/// How long what was left alone may take to end: launchers that lost their worker, tasks that ignore TERM.
const LEFTOVERS_END_WITHIN: Duration = Duration::from_secs(10);

/// A folder, and all that runs in it.
pub struct Ground {
    folder: TempDir,
}

/// What a command line came to.
#[derive(Debug)]
pub struct Answer {
    /// The exit code.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl From<Output> for Answer {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }
}

impl Answer {
    /// That it was refused with this exit code, in one line of the form all errors have, which holds these words.
    #[track_caller]
    pub fn refused(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "{self:?}");
        assert_eq!(self.out, "", "{self:?}");
        assert_eq!(self.err.lines().count(), 1, "one line: {self:?}");
        let line = self.err.trim_end();
        println!("{line}");
        let (program, message) = line.split_once(": ").unwrap_or_default();
        assert!(program.starts_with("millpond"), "{self:?}");
        assert!(!message.is_empty() && !message.ends_with('.') && !message.starts_with(char::is_uppercase), "{self:?}");
        for word in words {
            assert!(message.contains(word), "`{word}` is missing in: {line}");
        }
    }
}

impl Ground {
    /// An empty folder.
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("pond-").tempdir().unwrap();
        // Tasks of a worker that root has started have users of their own, and tell the test what they do by files in it.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        Self { folder }
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The same, for a command line.
    pub fn text_path(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Makes a file in the folder; its path.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        fs::write(self.path(name), content).unwrap();
        self.text_path(name)
    }

    /// Lines that tasks have written to a file so far; a last one without its end is still being written.
    pub fn lines(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.path(name)).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(str::to_owned).collect()
    }

    /// Waits until tasks have written so many lines to a file.
    #[track_caller]
    pub fn has_lines(&self, name: &str, count: usize) {
        until(&format!("{name} has {count} lines"), || self.lines(name).len() >= count);
    }

    /// A program in these surroundings, with nothing of the tester's own.
    pub fn command(&self, program: &str) -> Command {
        command(self.folder.path(), program)
    }

    /// A file that a program may append to.
    pub fn log(&self, name: &str) -> File {
        File::options().create(true).append(true).open(self.path(name)).unwrap()
    }

    /// The end of a log.
    pub fn tail(&self, name: &str) -> String {
        let text = fs::read_to_string(self.path(name)).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// What runs here now.
    pub fn processes(&self) -> Vec<(u32, String)> {
        process::of(self.folder.path())
    }
}

/// A program in the surroundings of a folder, for threads that have only its path.
pub fn command(folder: &Path, program: &str) -> Command {
    let mut command = Command::new(program);
    for name in [
        "MILLPOND_HEAD",
        "MILLPOND_LOG_FORMAT",
        "MILLPOND_CONTEXT",
        "MILLPOND_CREDENTIALS",
        "MILLPOND_JOIN",
        "XDG_STATE_HOME",
        "XDG_CONFIG_HOME",
        "RUST_LOG",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTEL_EXPORTER_OTLP_CERTIFICATE",
        "OTEL_TRACES_SAMPLER_ARG",
        "OTEL_SERVICE_NAME",
    ] {
        command.env_remove(name);
    }
    command.env(MARK, folder).env("HOME", folder).env("USER", "ada").current_dir(folder);
    command.stdin(Stdio::null());
    command
}

impl Drop for Ground {
    /// All that runs here ends within seconds. What does not is killed, and fails the test.
    fn drop(&mut self) {
        let began = Instant::now();
        while !self.processes().is_empty() && began.elapsed() < LEFTOVERS_END_WITHIN {
            std::thread::sleep(Duration::from_millis(20));
        }
        let left = self.processes();
        left.iter().for_each(|(pid, _)| process::signal(*pid, Signal::KILL));
        // What a worker's cache keeps can't be removed by anybody but root before.
        let _ = Command::new("chmod").args(["-R", "u+w"]).arg(self.folder.path()).stderr(Stdio::null()).status();
        // A second panic would end all tests.
        assert!(left.is_empty() || std::thread::panicking(), "left behind: {left:?}");
    }
}

/// From one RFC 3339 time to a later one.
pub fn seconds_between(earlier: &Value, later: &Value) -> f64 {
    let time = |value: &Value| value.as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok()).expect("a time");
    time(earlier).duration_until(time(later)).as_secs_f64()
}
