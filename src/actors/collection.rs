//! What a crash left behind and nothing refers to, removed when the head starts: before anything new can come in.
//!
//! A job's folder, the chunks of a split and a data set are on the disk before the journal knows of them. What a start finds beyond the
//! ledger was never acknowledged, or is deleted. A data set of which an upload's receipt says that it is its own becomes that upload again:
//! its client may come back. Each removal is logged; what can't be removed is left, and harms nothing. It removes results only of jobs that
//! the ledger knows to be deleted, and nothing while the ledger is empty: a journal that was lost must not take the rest with it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::blobs::{ChunkIndex, DatasetStore, JobFiles};
use crate::domain::{Digest, Error, Input, JobId};
use crate::engine::Ledger;

use super::ingest::CHUNKS_DIR;

/// Removes what the ledger does not know; how many things that were.
pub fn collect(data_dir: &Path, ledger: &Ledger, datasets: &DatasetStore) -> Result<usize, Error> {
    if ledger.jobs.is_empty() && ledger.datasets.is_empty() && ledger.last_job == JobId::default() {
        return Ok(0);
    }
    let is_known = |digest| ledger.datasets.contains_key(&digest);
    datasets.take_back(is_known)?;
    datasets.give_up_known(is_known)?;
    let jobs = unknown_jobs(data_dir, ledger)?.into_iter().map(|files| (files.folder().to_owned(), files.remove()));
    let chunks = unknown_chunks(&data_dir.join(CHUNKS_DIR), ledger)?.into_iter().map(|path| {
        let removed = fs::remove_file(&path).map_err(|error| Error::io(&path, &error));
        (path, removed)
    });
    let unknown = datasets.list()?.into_iter().filter(|digest| !ledger.datasets.contains_key(digest));
    let contents = unknown.map(|digest| (PathBuf::from(digest.to_string()), datasets.remove(digest)));
    let mut count = 0;
    for (what, removed) in jobs.chain(chunks).chain(contents) {
        match removed {
            Ok(()) => tracing::info!(what = %what.display(), "removed: a crash left it, and nothing refers to it"),
            Err(error) => tracing::warn!(%error, "nothing refers to it, but it can't be removed"),
        }
        count += 1;
    }
    Ok(count)
}

fn unknown_jobs(data_dir: &Path, ledger: &Ledger) -> Result<Vec<JobFiles>, Error> {
    let unknown = JobFiles::list(data_dir)?.into_iter().filter(|job| !ledger.jobs.contains_key(job));
    let mut empty = Vec::new();
    for job in unknown {
        let files = JobFiles::new(data_dir, job);
        // The ledger had it, as it has had all numbers up to its last.
        let is_deleted = job <= ledger.last_job;
        if !is_deleted && fs::metadata(files.segment()).is_ok_and(|segment| segment.len() > 0) {
            tracing::warn!(folder = %files.folder().display(), "it holds results of a job that the journal does not know: left as it is");
        } else {
            empty.push(files);
        }
    }
    Ok(empty)
}

/// Splits that no job asked for, and those that were never finished.
fn unknown_chunks(folder: &Path, ledger: &Ledger) -> Result<Vec<PathBuf>, Error> {
    let rules = ledger.jobs.values().filter_map(|job| match &job.spec.input {
        Input::Dataset { digest, rule, .. } => Some(ChunkIndex::file_name(*digest, rule)),
        Input::Array(_) => None,
    });
    let known: BTreeSet<String> = rules.collect();
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io(folder, &error)),
    };
    let mut unknown = Vec::new();
    for entry in entries {
        let name = entry.map_err(|error| Error::io(folder, &error))?.file_name();
        let Some(name) = name.to_str() else { continue };
        let is_ours = name.split_once('.').is_some_and(|(digest, _)| digest.parse::<Digest>().is_ok());
        if is_ours && !known.contains(name) {
            unknown.push(folder.join(name));
        }
    }
    Ok(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actors::job_store::JobStore;
    use crate::domain::entry::{Entry, Submitted};
    use crate::domain::testing::{self, job_spec};
    use crate::domain::{ArrayRange, JobSpec, SplitRule, WallTime};

    fn submitted(job: u64, input: Input) -> Entry {
        let spec = JobSpec { input, ..job_spec() };
        Entry::accepted(Submitted { spec, ..testing::submitted(job) })
    }

    fn stored(datasets: &DatasetStore, text: &str) -> Digest {
        let mut upload = datasets.begin_upload().unwrap();
        upload.write(text.as_bytes()).unwrap();
        upload.finish().unwrap().digest
    }

    /// Every file and folder, by its path below.
    fn all(folder: &Path) -> BTreeSet<PathBuf> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let below = |path: PathBuf| if path.is_dir() { all(&path).into_iter().chain([path]).collect() } else { vec![path] };
        entries.flat_map(below).collect()
    }

    #[test]
    fn only_what_the_ledger_does_not_know_goes() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let datasets = DatasetStore::open(&root.join("datasets")).unwrap();
        let (known, unknown) = (stored(&datasets, "known"), stored(&datasets, "unknown"));
        let rule = SplitRule::for_name("in.txt", 4);
        let mut ledger = Ledger::default();
        ledger.apply(&Entry::DatasetAdded { digest: known, name: "in.txt".into(), len: 5, at: WallTime(0) });
        ledger.apply(&submitted(1, Input::Array(ArrayRange { first: 0, last: 9, step: 1 })));
        ledger.apply(&submitted(2, Input::Dataset { digest: known, name: "in.txt".into(), rule: rule.clone() }));
        for job in 1..=4 {
            JobStore::open(root, JobId(job)).unwrap();
        }
        fs::write(JobFiles::new(root, JobId(4)).segment(), "results").unwrap();
        fs::create_dir_all(root.join("chunks")).unwrap();
        let name = ChunkIndex::file_name(known, &rule);
        let rubbish =
            [format!("{name}.tmp"), ChunkIndex::file_name(unknown, &rule), ChunkIndex::file_name(known, &SplitRule::for_name("in.txt", 5))];
        for name in rubbish.iter().chain([&name, &"notes".to_owned(), &"notes.txt".to_owned()]) {
            fs::write(root.join("chunks").join(name), "x").unwrap();
        }
        fs::write(root.join("datasets/notes"), "x").unwrap();
        fs::write(root.join("jobs/notes"), "x").unwrap();

        let before = all(root);
        assert_eq!(collect(root, &Ledger::default(), &datasets).unwrap(), 0);
        assert_eq!(all(root), before, "an empty ledger removes nothing");
        assert_eq!(collect(root, &ledger, &datasets).unwrap(), 5);
        let text = unknown.to_string();
        let mut gone: BTreeSet<PathBuf> = rubbish.iter().map(|name| root.join("chunks").join(name)).collect();
        gone.extend(["jobs/j3", "jobs/j3/segment", "jobs/j3/results.idx"].map(|name| root.join(name)));
        gone.insert(root.join("datasets").join(&text[..2]).join(&text));
        assert_eq!(all(root), before.difference(&gone).cloned().collect());
        assert_eq!(collect(root, &ledger, &datasets).unwrap(), 0);
    }

    #[test]
    fn results_of_a_deleted_job_go_and_those_of_a_job_that_is_only_unknown_stay() {
        let folder = tempfile::tempdir().unwrap();
        let datasets = DatasetStore::open(&folder.path().join("datasets")).unwrap();
        let mut ledger = Ledger::default();
        ledger.apply(&submitted(1, Input::Array(ArrayRange { first: 0, last: 9, step: 1 })));
        ledger.apply(&submitted(2, Input::Array(ArrayRange { first: 0, last: 9, step: 1 })));
        for job in 1..=2 {
            ledger.apply(&Entry::JobDeleted { job: JobId(job), at: WallTime(0) });
        }
        for job in 1..=3 {
            let files = JobFiles::new(folder.path(), JobId(job));
            files.create().unwrap();
            fs::write(files.segment(), "results").unwrap();
        }
        // As a snapshot brings it back.
        let mut read = Ledger::default();
        ledger.parts().for_each(|part| read.put(part));
        assert_eq!((&read, read.next_job()), (&ledger, JobId(3)));
        assert_eq!(collect(folder.path(), &read, &datasets).unwrap(), 2);
        assert_eq!(JobFiles::list(folder.path()).unwrap(), [JobId(3)]);
    }
}
