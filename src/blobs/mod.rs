//! Floor 2: the head's bulk bytes on disk: data sets, where their chunks begin, and what tasks left behind.
//!
//! Invariant: knows files and the types of `domain/`, not jobs' states; nothing of `store/`, `bundle/`, `exec/` or a floor above.
//! What is durable and what is not stands at each call. Readers and writers share a file by positions, never by a cursor.

mod attempt_log;
mod chunk_index;
mod chunk_index_writer;
mod datasets;
mod folder;
mod inspect;
mod job_files;
mod partials;
mod receipts;
mod reservation;
mod reserve;
mod result_index;
mod segment;
mod sync_mark;
mod upload;

pub use attempt_log::AttemptLog;
pub use chunk_index::ChunkIndex;
pub use chunk_index_writer::ChunkIndexWriter;
pub use datasets::{Dataset, DatasetStore};
pub use inspect::{StoredResults, check_dataset, copy, copy_dataset, copy_first, same_disk};
pub use job_files::JobFiles;
pub use partials::UploadKey;
pub use receipts::Receipt;
pub use reservation::Reservation;
pub use reserve::{Reserve, disk_room};
pub use result_index::{IndexedResult, ResultIndex};
pub use segment::Segment;
pub use upload::{Stored, ToSync, Upload};
