//! What a format has to know: where its records end.

use std::fmt;

use super::csv::CsvScanner;
use super::cutter::Cutter;
use super::fasta::FastaScanner;
use super::fastq::FastqScanner;
use super::files::FilesScanner;
use super::jsonl::JsonlScanner;
use super::line::LineScanner;
use super::mgf::MgfScanner;
use super::pattern::{PatternScanner, Side};
use crate::domain::{Error, Record};

/// Finds the ends of records in a data set that streams past.
///
/// Everything from the end of one record to the end of the next counts as the latter's; what follows the last end stays with the last
/// record. An error must depend on the bytes alone: a scanner refuses through [`Cutter::refuse`].
pub(super) trait Scanner: fmt::Debug + Send {
    /// Looks at the next bytes, whose first one has the offset `at`, and tells the cutter each record that ends.
    fn scan(&mut self, block: &[u8], at: u64, cutter: &mut Cutter) -> Result<(), Error>;

    /// The data set ends here, at offset `end`.
    fn finish(&mut self, end: u64, cutter: &mut Cutter) -> Result<(), Error>;

    /// What to say of a data set in which there was no record: what was looked for.
    fn nothing_found(&self) -> String;
}

/// The scanner of a kind of record. `Invalid` for a pattern that does not compile.
pub(super) fn for_record(record: &Record) -> Result<Box<dyn Scanner>, Error> {
    Ok(match record {
        Record::Line => Box::new(LineScanner),
        Record::Fasta => Box::new(FastaScanner::new()),
        Record::Mgf => Box::new(MgfScanner::new()),
        Record::Fastq => Box::new(FastqScanner::new()),
        Record::Jsonl => Box::new(JsonlScanner::new()),
        Record::Csv => Box::new(CsvScanner::new()),
        Record::Start(pattern) => Box::new(PatternScanner::new(pattern, Side::Start)?),
        Record::End(pattern) => Box::new(PatternScanner::new(pattern, Side::End)?),
        Record::Files => Box::new(FilesScanner::default()),
    })
}
