//! Bundles, read with the crate that everybody reads them with.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};

use serde_json::Value;
use zip::ZipArchive;

/// A bundle that was fetched.
pub struct Bundle {
    /// The archive.
    pub bytes: Vec<u8>,
    /// Its entries.
    pub entries: BTreeMap<String, Vec<u8>>,
    /// Where the last entry, `run.json`, begins.
    pub run_begins: usize,
}

impl Bundle {
    /// Reads every entry; each checksum is checked on the way.
    pub fn of(bytes: Vec<u8>) -> Self {
        let mut archive = ZipArchive::new(Cursor::new(&bytes)).expect("a zip archive");
        let mut entries = BTreeMap::new();
        let mut run_begins = 0;
        for at in 0..archive.len() {
            let mut entry = archive.by_index(at).unwrap();
            let name = entry.name().unwrap().into_owned();
            if name == "run.json" {
                run_begins = entry.header_start() as usize;
            }
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(entries.insert(name.clone(), content).is_none(), "{name} is there twice");
        }
        Self { bytes, entries, run_begins }
    }

    /// Names of all entries.
    pub fn names(&self) -> Vec<&str> {
        self.entries.keys().map(String::as_str).collect()
    }

    /// An entry as text.
    #[track_caller]
    pub fn text(&self, name: &str) -> &str {
        let content = self.entries.get(name).unwrap_or_else(|| panic!("no {name} among {:?}", self.names()));
        std::str::from_utf8(content).unwrap()
    }

    /// An entry as JSON.
    #[track_caller]
    pub fn json(&self, name: &str) -> Value {
        serde_json::from_str(self.text(name)).unwrap()
    }

    /// How many tasks are in each state of `manifest.json`.
    pub fn states(&self) -> BTreeMap<String, usize> {
        let manifest = self.json("manifest.json");
        let mut states = BTreeMap::new();
        for task in manifest["tasks"].as_array().unwrap() {
            *states.entry(task["state"].as_str().unwrap().to_owned()).or_insert(0) += 1;
        }
        states
    }
}
