//! What `submit` and `run` take to describe a job: checked here before anything is sent, then uploaded and made a specification.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueHint;

use super::config::Surroundings;
use super::controlled::request_id;
use super::exit::Stop;
use super::progress::Progress;
use super::units::{parse_duration, parse_keep, parse_pair, parse_size, wire_duration, wire_keep};
use crate::archive::tar_name;
use crate::domain::{ArrayRange, Error, Image, Keep, MaxFailed, Packing, Record, SplitRule};
use crate::exec;
use crate::limits::SHARED_FILES_MAX;
use crate::rpc::client::Client;
use crate::rpc::hashed::Form;
use crate::rpc::pb;

/// All of the split rules.
pub(crate) const SPLIT_HELP: &str = "\
What may not be cut, and how much goes in a chunk. WHAT:N puts N records in a chunk, WHAT/bytes:N at least N bytes, WHAT/chunks:N makes N
chunks of about equal size. WHAT is one of

  lines     a line; may be left out: bytes:N, chunks:N
  fasta     from one line that begins with > to the next
  fastq     title, sequence, +, quality, over as many lines as they take
  mgf       BEGIN IONS to END IONS; the parameters before the first are repeated in every chunk
  csv       a row, with line ends between quotes; the header is repeated in every chunk
  jsonl     a line that is not blank
  files     a file of a folder, a .tar (also .tar.gz, .tgz, .tar.zst, .tar.bz2) or a .zip; with files:1 a task gets the path of its file,
            otherwise that of a folder with its files
  records   records:N/start=REGEX, from one line that matches to the next; what stands before the first is repeated in every chunk;
            records:N/end=REGEX, up to a line that matches; the pattern stands last: records/chunks:8/start=^LOCUS
            (for the syntax see docs.rs/regex; . is any byte, \\w and \\d are ASCII, (?u) asks for Unicode)

[default: by the input's ending, a few chunks per slot]";

/// How the standard outputs come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Merge {
    /// Joined in task order, as one entry `merged`
    Concat,
}

#[derive(clap::Args, Debug)]
pub(crate) struct JobOptions {
    /// The data set: a file, a folder, or - for standard input; gzip, zstd, bzip2, zip and tar are unpacked
    #[arg(value_name = "INPUT", value_hint = ValueHint::AnyPath)]
    input: Option<PathBuf>,
    /// The command and its arguments, run once per chunk; {input} {output} {index} {count} {job} {with:NAME} are replaced
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
    /// Name of the job, and of its bundle's file [default: the input's or the command's]
    #[arg(long, value_name = "NAME", help_heading = "Job")]
    name: Option<String>,
    /// Whose job it is [default: you]
    #[arg(long, value_name = "NAME", help_heading = "Job")]
    owner: Option<String>,
    /// What may not be cut, and how much goes in a chunk: fasta:N, fasta/chunks:N, bytes:N… (--help lists all)
    /// [default: by the input's ending, a few chunks per slot]
    #[arg(long, long_help = SPLIT_HELP, value_name = "RULE", help_heading = "Job")]
    split: Option<SplitRule>,
    /// No data: one task per number of 1-100 or 0-90:10
    #[arg(long, value_name = "RANGE", help_heading = "Job")]
    array: Option<ArrayRange>,
    /// A file that every task can read as {with:NAME}; repeatable
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Job")]
    with: Vec<PathBuf>,
    /// An environment variable of every task; repeatable
    #[arg(long, value_name = "K=V", value_parser = parse_pair, help_heading = "Job")]
    env: Vec<(String, String)>,
    /// Run the tasks in this image, as debian:12 or ghcr.io/lab/tool:1.4, on workers that have podman or docker
    #[arg(long, value_name = "IMAGE", help_heading = "Job")]
    image: Option<Image>,
    /// Join the standard outputs into one entry of the bundle
    #[arg(long, value_enum, value_name = "HOW", help_heading = "Job")]
    merge: Option<Merge>,
    /// Repeating a submission with the same UUID makes no second job
    #[arg(long, value_name = "UUID", help_heading = "Job")]
    request_id: Option<uuid::Uuid>,
    /// Higher is sooner
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true, help_heading = "Order")]
    priority: i32,
    /// Tasks that may run at once; 0 is no limit
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Order")]
    max_running: u32,
    /// Submit paused
    #[arg(long, help_heading = "Order")]
    hold: bool,
    /// Processors that a task needs
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Needs of a task")]
    cpus: u32,
    /// Memory that a task needs, as 4G or 512MiB
    #[arg(long, value_name = "SIZE", default_value = "0", value_parser = parse_size, hide_default_value = true, help_heading = "Needs of a task")]
    mem: u64,
    /// Graphics processors that a task needs
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Needs of a task")]
    gpus: u32,
    /// A label that the worker must carry; repeatable
    #[arg(long, value_name = "K=V", value_parser = parse_pair, help_heading = "Needs of a task")]
    label: Vec<(String, String)>,
    /// The longest a task may run, as 90s, 2h, 1h30m
    #[arg(long, value_name = "DUR", value_parser = parse_duration, help_heading = "Failure")]
    timeout: Option<Duration>,
    /// From TERM to KILL when a task is stopped [default: 5s]
    #[arg(long, value_name = "DUR", value_parser = parse_duration, help_heading = "Failure")]
    grace: Option<Duration>,
    /// How often a failed task is tried again
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Failure")]
    retries: u32,
    /// Exit codes that are worth another try, as 75,137 (128 + the signal's number for a signal) [default: every failure is]
    #[arg(long, value_name = "CODES", value_delimiter = ',', allow_negative_numbers = true, help_heading = "Failure")]
    retry_on: Vec<i32>,
    /// From a failure to the second attempt; twice as long before each later one [default: 1s]
    #[arg(long, value_name = "DUR", value_parser = parse_duration, help_heading = "Failure")]
    retry_delay: Option<Duration>,
    /// When more tasks than so many, as 5 or 10%, have failed the job ends, as failed, with what it has
    #[arg(long, value_name = "N|N%", help_heading = "Failure")]
    max_failed: Option<MaxFailed>,
    /// How long the job is kept, with its bundle, once it has ended, as 12h, 30d or forever; then it is removed [default: the head's, 30d]
    #[arg(long, value_name = "DUR", value_parser = parse_keep, help_heading = "Job")]
    keep: Option<Keep>,
}

/// Job options that were found sound on this side: files exist, nothing contradicts.
pub(crate) struct CheckedJob {
    input: CheckedInput,
    with: Vec<(String, PathBuf)>,
    request: pb::SubmitJobRequest,
}

enum CheckedInput {
    Data { source: Source, split: String },
    Array(ArrayRange),
}

impl JobOptions {
    /// Checks what can be checked here. `Invalid` for a wrong command line, `NotFound` for a missing file.
    pub(crate) fn check(self, around: &Surroundings) -> Result<CheckedJob, Error> {
        let Some(program) = self.command.first().filter(|program| !program.is_empty()) else {
            return Err(Error::invalid("no command: name it behind `--`, as in `millpond run in.mgf -- search {input}`"));
        };
        let program = stem(Path::new(program), false);
        let input = match (&self.input, self.array) {
            (Some(_), Some(_)) => return Err(Error::invalid("an INPUT and --array exclude each other: leave one out")),
            (None, None) => return Err(Error::invalid("no input: name a file, `-` for standard input, or use --array RANGE")),
            (None, Some(_)) if self.split.is_some() => return Err(Error::invalid("--split needs an INPUT; an --array has nothing to cut")),
            (None, Some(array)) => CheckedInput::Array(array),
            (Some(path), None) => {
                let split = self.split.as_ref().map(SplitRule::to_string).unwrap_or_default();
                if path.is_dir() && self.split.as_ref().is_some_and(|rule| rule.record != Record::Files) {
                    return Err(Error::invalid(format!("{}: is a folder, which `{split}` can't cut: split it by files:N", path.display())));
                }
                let source = Source::of_input(path)?;
                let name = if path.is_dir() { tar_name(&source.file_name()) } else { source.file_name() };
                let rule = self.split.clone().unwrap_or_else(|| SplitRule::for_name(&name, 1));
                exec::check_takes_files(&self.command, &rule)?;
                CheckedInput::Data { source, split }
            }
        };
        let name = match (&self.name, &input) {
            (Some(name), _) => name.clone(),
            (None, CheckedInput::Data { source: Source::File(path), .. }) => stem(path, !path.is_dir()),
            // A pipe of a shell is called `63`.
            (None, CheckedInput::Data { source: Source::Stdin | Source::Pipe(_), .. } | CheckedInput::Array(_)) => program,
        };
        let with = shared_files(&self.with)?;
        Ok(CheckedJob { input, with, request: self.into_request(name, around) })
    }

    /// All but what the uploads give.
    fn into_request(self, name: String, around: &Surroundings) -> pb::SubmitJobRequest {
        let (cpus, mem_bytes, gpus) = (self.cpus, self.mem, self.gpus);
        let owner_by_default = self.owner.is_none();
        let spec = pb::JobSpec {
            name,
            owner: self.owner.unwrap_or_else(|| around.user.clone()),
            input: None,
            command: self.command,
            env: self.env.into_iter().map(|(name, value)| pb::EnvVar { name, value }).collect(),
            shared_files: Vec::new(),
            needs: Some(pb::Resources { cpus, mem_bytes, gpus, labels: self.label.into_iter().collect() }),
            timeout: self.timeout.map(wire_duration),
            grace: self.grace.map(wire_duration),
            retries: self.retries,
            merge: self.merge.map_or(pb::Merge::Unspecified, |Merge::Concat| pb::Merge::Concat).into(),
            retry_on: self.retry_on,
            retry_delay: self.retry_delay.map(wire_duration),
            max_failed: self.max_failed.map(|max| max.to_string()).unwrap_or_default(),
            keep: self.keep.and_then(wire_keep),
            keep_forever: self.keep == Some(Keep::Forever),
            image: self.image.map(|image| image.to_string()).unwrap_or_default(),
        };
        pb::SubmitJobRequest {
            request_id: self.request_id.map_or_else(request_id, |id| id.to_string()),
            spec: Some(spec),
            priority: self.priority,
            max_running: self.max_running,
            hold: self.hold,
            owner_by_default,
        }
    }
}

impl CheckedJob {
    /// Its name and its owner.
    pub(crate) fn name_and_owner(&self) -> (&str, &str) {
        self.request.spec.as_ref().map_or(("", ""), |spec| (&spec.name, &spec.owner))
    }

    /// Whether its tasks run in an image.
    pub(crate) fn has_image(&self) -> bool {
        self.request.spec.as_ref().is_some_and(|spec| !spec.image.is_empty())
    }

    /// Uploads what the head does not have yet; after it the job can be submitted.
    pub(crate) async fn upload(self, client: &Client, progress: &mut Progress) -> Result<pb::SubmitJobRequest, Error> {
        let mut request = self.request;
        let mut with = Vec::new();
        for (name, path) in self.with {
            let what = format!("uploading {name}");
            let data = client.upload_file(&path, &name, Form::AsIs, |done, total| progress.bytes(&what, done, total)).await?;
            with.push(pb::SharedFile { name, digest: data.digest, len: data.len });
        }
        let input = match self.input {
            CheckedInput::Array(ArrayRange { first, last, step }) => pb::job_spec::Input::Array(pb::ArrayInput { first, last, step }),
            CheckedInput::Data { source, split } => {
                // Without the ending of a compressed file, once it is stored plain.
                let pb::Dataset { digest, name, .. } = source.upload(&source.file_name(), client, progress).await?;
                pb::job_spec::Input::Dataset(pb::DatasetInput { digest, split, name })
            }
        };
        let spec = request.spec.get_or_insert_default();
        (spec.shared_files, spec.input) = (with, Some(input));
        progress.clear();
        Ok(request)
    }
}

/// Submits; repeated, if need be, under the same request id.
pub(crate) async fn submit(request: &pb::SubmitJobRequest, client: &Client) -> Result<pb::Job, Stop> {
    Ok(client.repeat(async || client.jobs().submit_job(request.clone()).await).await?)
}

/// Where a data set comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// `-`.
    Stdin,
    /// A file or a folder that can be read twice: once for its digest.
    File(PathBuf),
    /// Something that can be read only once, such as `<(zcat in.gz)`.
    Pipe(PathBuf),
}

impl Source {
    /// An INPUT argument: `NotFound` for a missing file, `Invalid` for an empty one.
    pub(crate) fn of_input(path: &Path) -> Result<Self, Error> {
        if path == Path::new("-") {
            return Ok(Self::Stdin);
        }
        let data = std::fs::metadata(path).map_err(|error| Error::io(path, &error))?;
        if data.is_dir() {
            // `.` has no name.
            return Ok(Self::File(path.canonicalize().map_err(|error| Error::io(path, &error))?));
        }
        if !data.is_file() {
            return Ok(Self::Pipe(path.to_owned()));
        }
        if data.len() == 0 {
            return Err(Error::invalid(format!("{}: is empty, there is nothing to run on", path.display())));
        }
        Ok(Self::File(path.to_owned()))
    }

    /// What the data set is called.
    pub(crate) fn file_name(&self) -> String {
        match self {
            Self::Stdin => "stdin".into(),
            Self::File(path) | Self::Pipe(path) => {
                path.file_name().map_or_else(|| "input".into(), |name| name.to_string_lossy().into_owned())
            }
        }
    }

    /// Stores it.
    pub(crate) async fn upload(&self, name: &str, client: &Client, progress: &mut Progress) -> Result<pb::Dataset, Error> {
        let what = format!("uploading {name}");
        match self {
            Self::File(path) => client.upload_file(path, name, Form::Plain, |done, total| progress.bytes(&what, done, total)).await,
            Self::Stdin => {
                let stdin = std::io::stdin().as_fd().try_clone_to_owned().map_err(|error| Error::io("standard input", &error))?;
                let stdin = tokio::fs::File::from_std(stdin.into());
                client.upload_reader(stdin, name, |done| progress.bytes(&what, done, 0)).await
            }
            Self::Pipe(path) => {
                let pipe = tokio::fs::File::open(path).await.map_err(|error| Error::io(path, &error))?;
                client.upload_reader(pipe, name, |done| progress.bytes(&what, done, 0)).await
            }
        }
    }
}

fn shared_files(paths: &[PathBuf]) -> Result<Vec<(String, PathBuf)>, Error> {
    if paths.len() > SHARED_FILES_MAX {
        return Err(Error::invalid(format!("{} shared files: at most {SHARED_FILES_MAX} are allowed", paths.len())));
    }
    let mut files: Vec<(String, PathBuf)> = Vec::new();
    for path in paths {
        let data = std::fs::metadata(path).map_err(|error| Error::io(path, &error))?;
        if !data.is_file() {
            return Err(Error::invalid(format!("{}: is not a file", path.display())));
        }
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| Error::invalid(format!("{}: its name is not valid UTF-8", path.display())))?;
        if files.iter().any(|(other, _)| other == name) {
            return Err(Error::invalid(format!("two shared files are called `{name}`: rename one")));
        }
        files.push((name.to_owned(), path.clone()));
    }
    Ok(files)
}

fn stem(path: &Path, without_ending: bool) -> String {
    let name = path.file_name().map_or_else(|| "job".into(), |name| name.to_string_lossy());
    if !without_ending {
        return name.into_owned();
    }
    let plain = Packing::plain_name(&name);
    Path::new(&*plain).file_stem().map_or_else(|| "job".into(), |stem| stem.to_string_lossy().into_owned())
}
