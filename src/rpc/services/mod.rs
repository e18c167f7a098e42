//! The gRPC services of the head. Each method reads a request, asks the [`Head`](crate::actors::Head), and writes the answer.

mod audits;
mod changes;
mod clusters;
mod datasets;
mod following;
mod identities;
mod job_messages;
mod jobs;
mod leases;
mod logs;
mod order;
mod pieces;
mod quotas;
mod receiving;
mod results;
mod scale;
mod steering;
mod stored_room;
mod task_list;
mod upload_stream;
mod uploads;
mod who;
mod workers;

pub use audits::Audits;
pub use clusters::{BACKUP_KEY_FILE, Clusters};
pub use datasets::Datasets;
pub use identities::{Identities, registrar_of};
pub use jobs::Jobs;
pub use leases::Leases;
pub use pieces::{Transfers, send as send_pieces};
pub use receiving::{Answer, End, Part, Parts, Piece, QUEUE_PARTS};
pub use results::Results;
pub use scale::demand;
pub use uploads::{Uploads, Wanted};
pub use who::{About, CameFrom, Who, note_refusal};
pub use workers::Workers;

#[cfg(test)]
mod tests;
