//! Rows of open pages: what fifty browsers that look at a job of a million tasks cost.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};

use crate::bench::Bench;
use crate::cluster::{Cluster, array, kill_request};
use crate::line::{Line, Reach, Unit};

const PAGES: usize = 50;

/// Pages that are kept up to date, each read as a browser would.
struct Open {
    is_over: Arc<AtomicBool>,
    readers: Vec<JoinHandle<Result<()>>>,
    bytes: Arc<AtomicU64>,
}

impl Open {
    fn new(url: &str, paths: &[String]) -> Result<Self> {
        let (is_over, bytes) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut readers = Vec::new();
        for path in paths.iter().cycle().take(PAGES) {
            let live = format!("/live{}", path.trim_end_matches('/'));
            let mut stream = ask(url, &live)?;
            let mut buffer = [0; 64 * 1024];
            let first = stream.read(&mut buffer)?;
            ensure!(buffer.starts_with(b"HTTP/1.1 200"), "{live}: {}", String::from_utf8_lossy(&buffer[..first.min(200)]));
            stream.set_read_timeout(Some(Duration::from_millis(200)))?;
            let (is_over, bytes) = (is_over.clone(), bytes.clone());
            readers.push(std::thread::spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    match stream.read(&mut buffer) {
                        Ok(0) => bail!("{live} has ended"),
                        Ok(n) => drop(bytes.fetch_add(n as u64, Ordering::Relaxed)),
                        // Nothing within the time is nothing new.
                        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                        Err(error) => return Err(error.into()),
                    }
                }
                Ok(())
            }));
        }
        Ok(Self { is_over, readers, bytes })
    }

    /// Closes them; how many bytes have come.
    fn close(self) -> Result<u64> {
        self.is_over.store(true, Ordering::Relaxed);
        for reader in self.readers {
            reader.join().map_err(|_| anyhow!("a reader of a page has panicked"))??;
        }
        Ok(self.bytes.load(Ordering::Relaxed))
    }
}

fn ask(url: &str, path: &str) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(url.strip_prefix("http://").context("the head's address")?)?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    Ok(stream)
}

/// A page, from the request to its last byte, in seconds.
fn page(url: &str, path: &str) -> Result<f64> {
    let began = Instant::now();
    let mut text = Vec::new();
    ask(url, path)?.read_to_end(&mut text)?;
    ensure!(text.starts_with(b"HTTP/1.1 200"), "{path}: {}", String::from_utf8_lossy(&text[..text.len().min(200)]));
    Ok(began.elapsed().as_secs_f64())
}

/// Dispatch alone, with a million tasks waiting, beside the same with fifty pages open.
pub fn open(bench: &Bench) -> Result<Vec<Line>> {
    let (tasks, waiting) = (bench.size(200_000, 500), bench.size(1_000_000, 1000));
    let (mut plain, mut looked_at, mut grown, mut made) = (vec![], vec![], vec![], vec![]);
    bench.rounds(|| {
        let cluster = Cluster::with_swarm(bench, 4, 16)?;
        let million = cluster.submit(array(waiting, &["true"]))?;
        cluster.call(async |client| {
            let pause = millpond::rpc::pb::PauseJobRequest { id: million.clone(), ..Default::default() };
            Ok(client.jobs().pause_job(pause).await.map(drop)?)
        })?;
        let rate = || -> Result<f64> {
            let (seconds, job) = cluster.runs(array(tasks, &["true"]))?;
            cluster.delete(&job.id)?;
            Ok(f64::from(tasks) / seconds)
        };
        plain.push(rate()?);
        let before = cluster.head_rss()?;
        let paths = ["/".to_owned(), format!("/jobs/{million}"), "/workers".to_owned(), "/timeline".to_owned()];
        let open = Open::new(&cluster.url, &paths)?;
        looked_at.push(rate()?);
        for path in &paths {
            made.push(page(&cluster.url, path)?);
        }
        grown.push(cluster.head_rss()? - before);
        ensure!(open.close()? > 0, "the pages show nothing new");
        cluster.call(async |client| Ok(client.jobs().kill_job(kill_request(&million)).await.map(drop)?))
    })?;
    let what = format!("dispatch alone, {PAGES} pages open, a job of {waiting} tasks among what they show");
    Ok(vec![
        Line::new(what, Unit::TasksPerSecond, &looked_at).beside("none open", &plain).reaches(Reach::RatioAtLeast(0.9)),
        Line::new("the same: head memory", Unit::Bytes, &grown).reaches(Reach::AtMost(50e6)),
        Line::new("the same: a page, to its last byte", Unit::Seconds, &made).reaches(Reach::AtMost(200e-3)),
    ])
}
