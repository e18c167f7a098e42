//! The folder of a job's files.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::folder;
use crate::domain::{Error, JobId};

/// The ending of a folder that is being removed.
const REMOVED: &str = ".removed";

/// Where one job's files lie: `<data folder>/jobs/j7/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobFiles {
    folder: PathBuf,
}

impl JobFiles {
    /// The files of `job`; touches nothing.
    pub fn new(data_folder: &Path, job: JobId) -> Self {
        Self { folder: data_folder.join("jobs").join(job.to_string()) }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The results ([`super::Segment`]).
    pub fn segment(&self) -> PathBuf {
        self.folder.join("segment")
    }

    /// Where they lie ([`super::ResultIndex`]).
    pub fn result_index(&self) -> PathBuf {
        self.folder.join("results.idx")
    }

    /// The attempts that ended otherwise than well ([`super::AttemptLog`]).
    pub fn attempts(&self) -> PathBuf {
        self.folder.join("attempts")
    }

    /// Makes the folder, durably; fine if it is there.
    pub fn create(&self) -> Result<(), Error> {
        folder::create(&self.folder)
    }

    /// Removes the folder with all that is in it; fine if it is not there. After it, the job's files are gone durably, at once and together.
    pub fn remove(&self) -> Result<(), Error> {
        let mut removed = self.folder.clone().into_os_string();
        removed.push(REMOVED);
        let removed = PathBuf::from(removed);
        remove_all(&removed)?;
        match fs::rename(&self.folder, &removed) {
            Ok(()) => folder::sync_parent(&self.folder)?,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(Error::io(&self.folder, &error)),
        }
        remove_all(&removed)
    }

    /// The jobs that have a folder, in order. Touches nothing.
    pub fn list_as_is(data_folder: &Path) -> Result<Vec<JobId>, Error> {
        let mut found: Vec<JobId> = Self::names(data_folder)?.iter().filter_map(|name| is_job(name)).collect();
        found.sort_unstable();
        Ok(found)
    }

    /// The same, after removals that a crash cut short are completed.
    pub fn list(data_folder: &Path) -> Result<Vec<JobId>, Error> {
        for name in Self::names(data_folder)? {
            if name.strip_suffix(REMOVED).is_some_and(|job| is_job(job).is_some()) {
                remove_all(&data_folder.join("jobs").join(name))?;
            }
        }
        Self::list_as_is(data_folder)
    }

    /// What lies among the jobs, if it has a name that is text.
    fn names(data_folder: &Path) -> Result<Vec<String>, Error> {
        let jobs = data_folder.join("jobs");
        if jobs.exists() { folder::names(&jobs) } else { Ok(Vec::new()) }
    }
}

/// The job whose folder has this very name.
fn is_job(name: &str) -> Option<JobId> {
    name.parse().ok().filter(|job: &JobId| job.to_string() == name)
}

fn remove_all(path: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::io(path, &error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jobs_files_come_and_go() {
        let folder = tempfile::tempdir().unwrap();
        let files = JobFiles::new(folder.path(), JobId(7));
        files.create().unwrap();
        files.create().unwrap();
        assert_eq!(files.segment(), folder.path().join("jobs/j7/segment"));
        fs::write(files.segment(), "results").unwrap();
        JobFiles::new(folder.path(), JobId(12)).create().unwrap();
        assert_eq!(JobFiles::list(folder.path()).unwrap(), [JobId(7), JobId(12)]);
        files.remove().unwrap();
        files.remove().unwrap();
        assert!(!files.folder().exists());
        assert_eq!(JobFiles::list(folder.path()).unwrap(), [JobId(12)]);
    }

    #[test]
    fn a_removal_cut_short_is_completed_and_what_is_no_jobs_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["j7.removed/deep", "j8", "8", "j08", "notes.removed", "notes"] {
            fs::create_dir_all(folder.path().join("jobs").join(name)).unwrap();
        }
        assert_eq!(JobFiles::list(folder.path()).unwrap(), [JobId(8)]);
        assert!(!folder.path().join("jobs/j7.removed").exists());
        assert!(folder.path().join("jobs/notes.removed").exists());
    }
}
