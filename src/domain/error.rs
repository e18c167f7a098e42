//! The one error type: what kind it is says what to do about it.

/// What can be done about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// Fix the request.
    Invalid,
    /// No such thing.
    NotFound,
    /// The state forbids it.
    Conflict,
    /// The caller may not do this.
    Denied,
    /// A limit is reached; later it may work.
    Exhausted,
    /// The other side can't be reached, or is going away; try again.
    Unavailable,
    /// Waited as long as was allowed.
    TimedOut,
    /// Stored bytes are damaged; stop.
    Corrupt,
    /// A mistake of ours, or of the machine's.
    Internal,
}

/// An error with a one-line message: lowercase, no full stop, naming what is wrong and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What can be done about it.
    pub kind: ErrorKind,
    /// For a person.
    pub message: String,
}

macro_rules! constructors {
    ($($(#[$doc:meta])* $name:ident => $kind:ident),* $(,)?) => {
        impl Error {
            $($(#[$doc])* pub fn $name(message: impl Into<String>) -> Self {
                Self { kind: ErrorKind::$kind, message: message.into() }
            })*
        }
    };
}

constructors! {
    /// The request is wrong.
    invalid => Invalid,
    /// No such thing.
    not_found => NotFound,
    /// The state forbids it.
    conflict => Conflict,
    /// Not allowed.
    denied => Denied,
    /// A limit is reached.
    exhausted => Exhausted,
    /// Not reachable now.
    unavailable => Unavailable,
    /// Waited long enough.
    timed_out => TimedOut,
    /// Damaged bytes.
    corrupt => Corrupt,
    /// Our mistake, or the machine's.
    internal => Internal,
}

impl Error {
    /// The same error, said about something: `context: message`.
    pub fn context(mut self, context: impl std::fmt::Display) -> Self {
        self.message = format!("{context}: {}", self.message);
        self
    }

    /// An I/O error about a path: a missing file is `NotFound`, a full disk `Exhausted`, one without permission `Denied`, the rest `Internal`.
    pub fn io(path: impl AsRef<std::path::Path>, error: &std::io::Error) -> Self {
        let kind = match error.kind() {
            std::io::ErrorKind::NotFound => ErrorKind::NotFound,
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => ErrorKind::Exhausted,
            std::io::ErrorKind::PermissionDenied => ErrorKind::Denied,
            _ if is_out_of_files(error) => ErrorKind::Exhausted,
            _ => ErrorKind::Internal,
        };
        let remedy = match kind {
            ErrorKind::Exhausted if is_out_of_files(error) => ": let this process open more (ulimit -n)",
            ErrorKind::Exhausted => ": free some space",
            _ => "",
        };
        Self { kind, message: format!("{}: {error}{remedy}", path.as_ref().display()) }
    }
}
/// Of this process, or of the machine: the standard library has no kind for that.
fn is_out_of_files(error: &std::io::Error) -> bool {
    matches!(rustix::io::Errno::from_io_error(error), Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE))
}
