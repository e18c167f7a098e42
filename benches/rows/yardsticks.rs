//! What a user would pick instead. Each does its work in a folder of its own and says how many seconds it took.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result};
use rustix::process::{WaitOptions, wait};

use crate::cluster::output;

/// What every start costs is the program's; its path is looked up once.
const TRUE: &str = "/bin/true";

/// How often, and how many at once.
#[derive(clap::Args, Debug)]
pub struct SpawnLoop {
    count: u32,
    at_once: u32,
}

/// The barest way: `posix_spawn` (as the standard library uses it) and `wait`, in one thread.
pub fn spawn_loop(args: &SpawnLoop) -> Result<()> {
    let began = Instant::now();
    let (mut started, mut ended) = (0, 0);
    while ended < args.count {
        if started < args.count && started - ended < args.at_once {
            // It is reaped below, whichever ends first.
            drop(Command::new(TRUE).stdin(Stdio::null()).spawn().context(TRUE)?);
            started += 1;
        } else {
            wait(WaitOptions::empty())?;
            ended += 1;
        }
    }
    println!("{}", began.elapsed().as_secs_f64());
    Ok(())
}

/// [`spawn_loop`] in a process of its own, so that only what it starts is waited for.
pub fn posix_spawn(count: u32, at_once: u32) -> Result<f64> {
    let mut command = Command::new(std::env::current_exe()?);
    let seconds = output(command.args(["spawn-loop", &count.to_string(), &at_once.to_string()]))?;
    seconds.parse().context("the spawn loop says no number")
}

/// `xargs`, a process for each line.
pub fn xargs(count: u32, at_once: u32) -> Result<f64> {
    shell(Path::new("/"), &format!("seq {count} | xargs -P {at_once} -n 1 true"))
}

/// GNU parallel.
pub fn parallel(count: u32, at_once: u32) -> Result<f64> {
    shell(Path::new("/"), &format!("seq {count} | parallel --will-cite -j {at_once} true"))
}

/// Counts the lines of every ten of a file: `split`, `xargs`, and a zip of what came out.
pub fn split_xargs_zip(lines: &Path, folder: &Path, at_once: u32) -> Result<f64> {
    let script = format!(
        "mkdir chunks out && split -l 10 -a 5 -d {} chunks/ && \
         ls chunks | xargs -P {at_once} -I{{}} sh -c 'exec wc -l < chunks/{{}} > out/{{}}' && zip -q -r out.zip out",
        lines.display()
    );
    shell(folder, &script)
}

/// `cp`, until it is on the disk.
pub fn copy_and_sync(from: &Path, to: &Path) -> Result<f64> {
    shell(Path::new("/"), &format!("cp {from} {to} && sync {to}", from = from.display(), to = to.display()))
}

/// `cp` alone.
pub fn copy(from: &Path, to: &Path) -> Result<f64> {
    shell(Path::new("/"), &format!("cp {} {}", from.display(), to.display()))
}

/// `zip -1` of a folder.
pub fn zip_fast(folder: &Path, to: &Path) -> Result<f64> {
    shell(folder, &format!("zip -q -1 -r {} .", to.display()))
}

/// Reads a file once, a mebibyte at a time.
pub fn read(path: &Path) -> Result<f64> {
    let began = Instant::now();
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 1 << 20];
    while file.read(&mut buffer)? > 0 {}
    Ok(began.elapsed().as_secs_f64())
}

/// Whether a program is installed.
pub fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn shell(folder: &Path, script: &str) -> Result<f64> {
    let began = Instant::now();
    output(Command::new("sh").args(["-c", script]).current_dir(folder).stdin(Stdio::null()))?;
    Ok(began.elapsed().as_secs_f64())
}
