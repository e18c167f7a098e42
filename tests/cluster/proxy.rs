//! A TCP proxy between a client and a head that breaks, or stalls, the way up.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What happens after so many bytes of all connections together.
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
    passed: Arc<AtomicU64>,
}

impl Proxy {
    /// To the head at `url`; `limit` in bytes.
    pub fn to(url: &str, limit: u64, after: After) -> Self {
        let head = url.strip_prefix("http://").unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let passed = Arc::new(AtomicU64::new(0));
        let counter = passed.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().filter_map(Result::ok) {
                let Ok(head) = TcpStream::connect(&head) else { continue };
                let (mut from_head, mut to_client) = (head.try_clone().unwrap(), client.try_clone().unwrap());
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from_head, &mut to_client);
                    let _ = to_client.shutdown(Shutdown::Both);
                });
                let counter = counter.clone();
                std::thread::spawn(move || up(client, head, &counter, limit, after));
            }
        });
        Self { url, passed }
    }

    /// Bytes on the way up so far.
    pub fn passed(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }
}

fn up(mut client: TcpStream, mut head: TcpStream, passed: &AtomicU64, limit: u64, after: After) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(len @ 1..) = client.read(&mut buffer) {
        let before = passed.fetch_add(len as u64, Ordering::Relaxed);
        let is_over = before + len as u64 >= limit;
        if is_over && after == After::Cut && before < limit {
            break;
        }
        if is_over && after == After::Stall {
            // Until the client is gone.
            let _ = client.peek(&mut [0]);
            std::thread::park_timeout(super::process::PATIENCE);
        }
        if head.write_all(&buffer[..len]).is_err() {
            break;
        }
    }
    let _ = head.shutdown(Shutdown::Both);
    let _ = client.shutdown(Shutdown::Both);
}
