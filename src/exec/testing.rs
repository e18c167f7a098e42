//! Real launchers for tests. The test binary is re-executed as one, so that the tests need no binary of the package.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::handle::{Launcher, LauncherDied};
use super::protocol::{Ended, Start};

/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);
const MIB: u64 = 1 << 20;

/// A slot: a folder, a launcher, and a marker in the environment of all that its tasks start.
pub struct Slot {
    pub launcher: Launcher,
    pub dir: PathBuf,
    pub marker: String,
    /// Removes the folder; none if somebody else does.
    _temporary: Option<tempfile::TempDir>,
}

impl Slot {
    pub fn new() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let mut slot = Self::at(temporary.path());
        slot._temporary = Some(temporary);
        slot
    }

    /// In a folder that outlives it.
    pub fn at(dir: &Path) -> Self {
        Self { launcher: launcher(), dir: dir.to_owned(), marker: marker(dir), _temporary: None }
    }

    /// `sh -c script`, with a generous time limit.
    pub fn shell(&self, script: &str) -> Start {
        let path = |name: &str| self.dir.join(name);
        let (name, value) = self.marker.split_once('=').unwrap();
        Start {
            program: "/bin/sh".into(),
            args: vec!["-c".into(), script.into()],
            env: vec![(name.into(), value.into()), ("PATH".into(), "/usr/bin:/bin".into())],
            cwd: self.dir.clone(),
            stdin: None,
            stdout: path("stdout"),
            stderr: path("stderr"),
            timeout_ms: Some(PATIENCE.as_millis() as u64),
            grace_ms: 50,
            stdout_max_bytes: MIB,
            stderr_max_bytes: MIB,
            owner: None,
            grip: None,
        }
    }

    pub fn run(&mut self, script: &str) -> Ended {
        let start = self.shell(script);
        self.launcher.run(&start, || false).unwrap()
    }

    /// Runs it, and does something else as soon as it has made the file `ready`.
    pub fn run_until_ready(&mut self, start: &Start, then: impl FnOnce() + Send) -> Result<Ended, LauncherDied> {
        let ready = self.dir.join("ready");
        std::thread::scope(|scope| {
            scope.spawn(move || {
                wait_for(&ready);
                then();
            });
            self.launcher.run(start, || false)
        })
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.dir.join(name)).unwrap()
    }

    /// Processes that any task of this slot has started.
    pub fn processes(&self) -> Vec<u32> {
        marked(&self.marker)
    }
}

/// What marks the tasks of a slot in this folder.
pub fn marker(dir: &Path) -> String {
    format!("MILLPOND_TEST_MARKER={}", dir.display())
}

pub fn wait_for(path: &Path) {
    until(&format!("{} exists", path.display()), || path.exists());
}

/// Asks again and again, for want of an event to wait for.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Living processes with this line in their environment.
pub fn marked(marker: &str) -> Vec<u32> {
    let has = |pid: &u32| fs::read(format!("/proc/{pid}/environ")).is_ok_and(|env| env.split(|&b| b == 0).any(|v| v == marker.as_bytes()));
    let pids = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(has).collect()
}

/// The test binary in another role: another process, for what would disturb the other tests.
pub fn in_role(module: &str, name: &str, dir: &Path) -> Command {
    let mut command = Command::new(binary());
    command.args(role(module, name)).env("MILLPOND_TEST_ROLE", dir);
    command
}

/// The folder given by [`in_role`]; none where somebody runs all ignored tests.
pub fn own_role() -> Option<PathBuf> {
    std::env::var_os("MILLPOND_TEST_ROLE").map(PathBuf::from)
}

/// The arguments that make the test binary run the one ignored test `name` of `module`.
pub fn role(module: &str, name: &str) -> [String; 3] {
    let module = module.split_once("::").map_or(module, |(_, path)| path);
    [format!("{module}::{name}"), "--exact".into(), "--ignored".into()]
}

/// A launcher in this binary, started as a shell starts what goes into the background, with signals ignored: what the test harness prints goes nowhere, the launcher's events to descriptor 3.
pub fn launcher() -> Launcher {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "trap '' HUP QUIT; exec 3>&1 >/dev/null; export MILLPOND_TEST_ROLE=launcher; exec \"$0\" \"$@\""]).arg(binary());
    command.args(role(module_path!(), "launcher_entry")).args(["--nocapture", "--test-threads=1"]);
    command.process_group(0);
    command.env_clear().env("INHERITED", "1").env("PATH", "/nowhere");
    Launcher::start(command).unwrap()
}

pub fn binary() -> PathBuf {
    std::env::current_exe().unwrap()
}

#[test]
#[ignore = "not a test: the main of the launchers that the tests start"]
fn launcher_entry() {
    if own_role().is_some() {
        let open = |path: &str, write: bool| fs::OpenOptions::new().read(!write).write(write).open(path).unwrap();
        // Its worker sees how it ends.
        let _ = super::launcher::serve(open("/proc/self/fd/0", false).into(), open("/proc/self/fd/3", true).into(), Default::default());
    }
}

/// An executable file.
pub fn script(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}
