//! Floor 2: certificates, keys, and the files that they are in.
//!
//! A head that was told to (`millpond-head init`) is its own [`Authority`]: it signs its own certificate, and those of whoever joins. Keys are
//! made where they are used, and never sent: what is sent is a [`request`](new_request). What a certificate says is only believed as far as
//! who somebody is; what he may do is in the head's journal.
//!
//! Invariant: nothing here knows the journal, or a connection. Time comes in as an argument.

mod authority;
mod credentials;
mod files;
mod folder;
mod join_token;
mod peer;
mod random;
mod request;
mod session;

pub use authority::{Authority, HEAD_NAME, HeadCertificate};
pub use credentials::Credentials;
pub use folder::{IDENTITY_DIR, IdentityFolder, NewIdentity};
pub use join_token::{JoinToken, digest_of, new_secret};
pub use peer::Peer;
pub use random::{random_bits, random_bytes, random_serial};
pub use request::{NewRequest, Requested, new_request};
pub use session::{Session, SessionKey};
