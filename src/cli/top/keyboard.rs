//! What is typed at the terminal. A thread of its own waits for it: reads of a terminal can't be asked of the kernel ahead.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use tokio::sync::mpsc;

use super::key::{Key, Keys};

/// What follows an Escape within this time belongs to it.
const SEQUENCE_WITHIN: Duration = Duration::from_millis(50);
const QUEUE: usize = 16;

/// Standard input, as keys. Nothing more is read once it is dropped.
pub(super) struct Keyboard {
    typed: mpsc::Receiver<Vec<u8>>,
    keys: Keys,
    /// Its end tells the thread.
    _here: OwnedFd,
}

impl Keyboard {
    pub(super) fn open() -> io::Result<Self> {
        let (gone, here) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        let (bytes, typed) = mpsc::channel(QUEUE);
        std::thread::Builder::new().name("keyboard".into()).spawn(move || read(&gone, &bytes))?;
        Ok(Self { typed, keys: Keys::default(), _here: here })
    }

    /// The next keys; none when nobody types there any more. May be dropped and called again.
    pub(super) async fn next(&mut self) -> Option<Vec<Key>> {
        loop {
            let bytes = if self.keys.has_begun() {
                match tokio::time::timeout(SEQUENCE_WITHIN, self.typed.recv()).await {
                    Ok(bytes) => bytes?,
                    Err(_) => return Some(self.keys.pause().into_iter().collect()),
                }
            } else {
                self.typed.recv().await?
            };
            let keys = self.keys.read(&bytes);
            if !keys.is_empty() {
                return Some(keys);
            }
        }
    }
}

/// Until the keyboard has gone, or the terminal.
fn read(gone: &OwnedFd, bytes: &mpsc::Sender<Vec<u8>>) {
    let stdin = io::stdin();
    loop {
        let mut waits = [PollFd::new(&stdin, PollFlags::IN), PollFd::new(gone, PollFlags::IN)];
        match poll(&mut waits, None) {
            Err(Errno::INTR) => continue,
            Err(_) => return,
            Ok(_) if !waits[1].revents().is_empty() => return,
            Ok(_) => {}
        }
        let mut buffer = [0; 256];
        match rustix::io::read(stdin.as_fd(), &mut buffer) {
            Ok(0) => return,
            Ok(len) if bytes.blocking_send(buffer[..len].to_vec()).is_err() => return,
            Ok(_) | Err(Errno::INTR | Errno::AGAIN) => {}
            Err(_) => return,
        }
    }
}
