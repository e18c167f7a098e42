//! A cluster inside this process, seen from the command line: something that has an address and can be stopped.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;

use crate::domain::Error;

/// A future on the heap that may move between threads.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Starts a head and workers inside this process (given by `daemon/`, so that the command line need not know how).
pub trait ClusterStarter {
    /// Resolves when the head accepts calls. `Conflict` when another process uses the folder.
    fn start(&self, options: EmbeddedOptions) -> BoxFuture<Result<Box<dyn EmbeddedCluster>, Error>>;
}

/// What an embedded cluster is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbeddedOptions {
    /// Where the head and the workers keep their state; made if it is not there.
    pub dir: PathBuf,
    /// Slots of each worker.
    pub slots: u32,
    /// How many workers.
    pub workers: u32,
    /// Inputs that each worker keeps for the next tasks.
    pub cache_bytes: u64,
    /// Where the head listens; none: on loopback, at a port of the system's choice.
    pub listen: Option<SocketAddr>,
    /// Whether to look for what runs images, which takes a moment.
    pub containers: bool,
}

/// A running embedded cluster. It ends with [`EmbeddedCluster::stop`], not by being dropped.
pub trait EmbeddedCluster: Send {
    /// Where its head listens, as `http://HOST:PORT`.
    fn url(&self) -> String;
    /// Stops gracefully: no new tasks, the running ones are stopped, everything durable.
    fn stop(self: Box<Self>) -> BoxFuture<()>;
}
