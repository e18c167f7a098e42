//! A head and workers inside this process, for `millpond run` and `millpond up`.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};

use crate::actors::{HeadOptions, WorkerOptions};
use crate::cli::{BoxFuture, ClusterStarter, EmbeddedCluster, EmbeddedOptions};
use crate::domain::{Error, Keep, Resources};
use crate::engine::Watermarks;
use crate::engine::slot_table::{Allowance, Equipment};
use crate::exec::{ContainerChoice, SandboxOptions};
use crate::limits::{REATTACH_WINDOW, RESERVE_AFTER, UPLOAD_SILENCE_MAX};

use super::args::{cpus, memory_bytes};
use super::head::Serving;
use super::logging::LogFormat;
use super::worker::{Reached, Working};
use super::{logging, process};

/// Starts clusters inside this process.
pub struct Embedded;

struct Cluster {
    head: Serving,
    workers: Vec<Working>,
}

impl ClusterStarter for Embedded {
    fn start(&self, options: EmbeddedOptions) -> BoxFuture<Result<Box<dyn EmbeddedCluster>, Error>> {
        Box::pin(async move {
            logging::start("warn", LogFormat::Text);
            let cluster = start(options).await?;
            Ok(Box::new(cluster) as Box<dyn EmbeddedCluster>)
        })
    }
}

async fn start(options: EmbeddedOptions) -> Result<Cluster, Error> {
    let listen = options.listen.unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    if !listen.ip().is_loopback() {
        return Err(Error::denied(format!("{listen} can be reached by other machines: use millpond-head and its --insecure for that")));
    }
    let head_options = HeadOptions {
        data_dir: options.dir.join("head"),
        reattach: REATTACH_WINDOW,
        reserve_after: RESERVE_AFTER,
        keep: Keep::default(),
        watermarks: Watermarks::default(),
        upload_silence: UPLOAD_SILENCE_MAX,
        names: Vec::new(),
        traces: None,
    };
    let head = Serving::start(listen, head_options).await?;
    let mut workers = Vec::new();
    for number in 1..=options.workers {
        let total = Resources { cpus: cpus(), mem_bytes: memory_bytes(), ..Resources::default() };
        let equipment = Equipment::new(total, BTreeSet::new());
        let dir = options.dir.join(format!("worker-{number}"));
        let (allowance, launcher) = (Allowance::default(), process::launcher_binary());
        // A person's own commands on his own machine.
        let sandbox = SandboxOptions::none();
        let containers = if options.containers { ContainerChoice::Auto } else { ContainerChoice::Off };
        let (slots, cache_bytes) = (options.slots, options.cache_bytes);
        let worker = WorkerOptions { dir, slots, equipment, allowance, cache_bytes, launcher, sandbox, containers };
        workers.push(Working::start(Reached::plain(&head.url)?, worker).await?);
    }
    Ok(Cluster { head, workers })
}

impl EmbeddedCluster for Cluster {
    fn url(&self) -> String {
        self.head.url.clone()
    }

    fn stop(self: Box<Self>) -> BoxFuture<()> {
        Box::pin(async move {
            let stopping: Vec<_> = self.workers.into_iter().map(|worker| tokio::spawn(worker.stop())).collect();
            for worker in stopping {
                if let Ok(Err(error)) = worker.await {
                    tracing::warn!(%error, "a worker did not end in order");
                }
            }
            self.head.stop().await;
        })
    }
}
