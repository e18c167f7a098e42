//! A TCP proxy on the way to a head that breaks, or stands still, when a test says so.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What happens after so many bytes on the way up, of all connections together.
#[derive(Clone, Copy, PartialEq)]
pub enum After {
    /// The connection is cut; later ones pass.
    Cut,
    /// Nothing is passed any more, and nothing is closed.
    Stall,
}

/// A running proxy.
pub struct Proxy {
    /// Where it listens, as a head's address.
    pub url: String,
    line: Arc<Line>,
}

struct Line {
    head: String,
    limit: AtomicU64,
    after: After,
    /// Bytes on the way up so far.
    passed: AtomicU64,
    /// New connections are closed at once.
    is_cut: AtomicBool,
    /// Nothing is passed, either way.
    is_stalled: AtomicBool,
    connections: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    /// To the head at `url`; `limit` in bytes.
    pub fn to(url: &str, limit: u64, after: After) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let line = Arc::new(Line {
            head: url.strip_prefix("http://").unwrap().to_owned(),
            limit: AtomicU64::new(limit),
            after,
            passed: AtomicU64::new(0),
            is_cut: AtomicBool::new(false),
            is_stalled: AtomicBool::new(false),
            connections: Mutex::default(),
        });
        let url = format!("http://{}", listener.local_addr().unwrap());
        let of_thread = line.clone();
        std::thread::spawn(move || listener.incoming().filter_map(Result::ok).for_each(|client| of_thread.connect(client)));
        Self { url, line }
    }

    /// One that passes everything until told otherwise.
    pub fn open_to(url: &str) -> Self {
        Self::to(url, u64::MAX, After::Cut)
    }

    /// Bytes on the way up so far.
    pub fn passed(&self) -> u64 {
        self.line.passed.load(Ordering::Relaxed)
    }

    /// Closes all connections, and every new one at once.
    pub fn is_cut(&self) {
        self.line.is_cut.store(true, Ordering::SeqCst);
        for connection in self.line.connections.lock().unwrap().drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    /// Passes nothing any more, and closes nothing, as when packets are dropped.
    pub fn stands_still(&self) {
        self.line.is_stalled.store(true, Ordering::SeqCst);
    }

    /// All is well again.
    pub fn is_mended(&self) {
        self.line.limit.store(u64::MAX, Ordering::SeqCst);
        self.line.is_cut.store(false, Ordering::SeqCst);
        self.line.is_stalled.store(false, Ordering::SeqCst);
    }
}

impl Line {
    fn connect(self: &Arc<Self>, client: TcpStream) {
        let Some(head) = TcpStream::connect(&self.head).ok().filter(|_| !self.is_cut.load(Ordering::SeqCst)) else { return };
        let (from_head, to_client) = (head.try_clone().unwrap(), client.try_clone().unwrap());
        self.connections.lock().unwrap().extend([head.try_clone().unwrap(), client.try_clone().unwrap()]);
        let (up, down) = (self.clone(), self.clone());
        std::thread::spawn(move || up.pass(client, head, true));
        std::thread::spawn(move || down.pass(from_head, to_client, false));
    }

    fn pass(&self, mut from: TcpStream, mut to: TcpStream, is_up: bool) {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(len @ 1..) = from.read(&mut buffer) {
            if is_up && self.breaks_after(len as u64) {
                break;
            }
            while self.is_stalled.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(5));
            }
            if to.write_all(&buffer[..len]).is_err() {
                break;
            }
        }
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    }

    /// Counts bytes on the way up; whether the connection is to be cut with them.
    fn breaks_after(&self, len: u64) -> bool {
        let limit = self.limit.load(Ordering::SeqCst);
        let before = self.passed.fetch_add(len, Ordering::Relaxed);
        let is_over = before.saturating_add(len) >= limit;
        if is_over && self.after == After::Stall {
            self.is_stalled.store(true, Ordering::SeqCst);
        }
        is_over && self.after == After::Cut && before < limit
    }
}
