//! What is typed, from the bytes that a terminal sends.

/// Sequences longer than this are none that we know.
const SEQUENCE_MAX_BYTES: usize = 16;
const ESCAPE: u8 = 0x1b;

/// A key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Char(char),
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
    Tab,
    Enter,
    Escape,
    Backspace,
    /// Ctrl-C, or Ctrl-D.
    Interrupt,
}

/// Bytes that have come and are no whole key yet.
#[derive(Debug, Default)]
pub(super) struct Keys {
    rest: Vec<u8>,
}

impl Keys {
    /// The keys that are whole with these bytes.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Vec<Key> {
        self.rest.extend_from_slice(bytes);
        let mut keys = Vec::new();
        while let Some((key, len)) = first(&self.rest) {
            self.rest.drain(..len);
            keys.extend(key);
        }
        keys
    }

    /// Whether something has begun: the key Escape, or a longer sequence.
    pub(super) fn has_begun(&self) -> bool {
        !self.rest.is_empty()
    }

    /// Nothing has come for a while: what has begun was the key Escape, or nothing that we know.
    pub(super) fn pause(&mut self) -> Option<Key> {
        let rest = std::mem::take(&mut self.rest);
        (rest == [ESCAPE]).then_some(Key::Escape)
    }
}

/// The first key, if it is one that we know, and how many bytes it takes; none where more must come.
fn first(bytes: &[u8]) -> Option<(Option<Key>, usize)> {
    match bytes {
        [] | [ESCAPE] | [ESCAPE, b'O'] => None,
        [ESCAPE, b'[', sequence @ ..] => match sequence.iter().position(|byte| (0x40..=0x7e).contains(byte)) {
            Some(end) => Some((sequence_key(&sequence[..=end]), end + 3)),
            None if sequence.len() > SEQUENCE_MAX_BYTES => Some((None, bytes.len())),
            None => None,
        },
        [ESCAPE, b'O', last, ..] => Some((sequence_key(&[*last]), 3)),
        // Twice, or with another key at once: the first is by itself.
        [ESCAPE, ..] => Some((Some(Key::Escape), 1)),
        [byte, ..] if byte.is_ascii() => Some((plain_key(*byte), 1)),
        _ => character(bytes),
    }
}

fn sequence_key(sequence: &[u8]) -> Option<Key> {
    match sequence {
        b"A" => Some(Key::Up),
        b"B" => Some(Key::Down),
        b"H" | b"1~" | b"7~" => Some(Key::Home),
        b"F" | b"4~" | b"8~" => Some(Key::End),
        b"5~" => Some(Key::PageUp),
        b"6~" => Some(Key::PageDown),
        // Shift-Tab; there are two panes.
        b"Z" => Some(Key::Tab),
        _ => None,
    }
}

fn plain_key(byte: u8) -> Option<Key> {
    match byte {
        3 | 4 => Some(Key::Interrupt),
        b'\t' => Some(Key::Tab),
        b'\r' | b'\n' => Some(Key::Enter),
        8 | 127 => Some(Key::Backspace),
        b' '..=b'~' => Some(Key::Char(char::from(byte))),
        _ => None,
    }
}

fn character(bytes: &[u8]) -> Option<(Option<Key>, usize)> {
    let beginning = &bytes[..bytes.len().min(4)];
    let good = match std::str::from_utf8(beginning) {
        Ok(text) => text,
        Err(error) if error.valid_up_to() > 0 => std::str::from_utf8(&beginning[..error.valid_up_to()]).unwrap_or_default(),
        Err(error) => return error.error_len().map(|len| (None, len)),
    };
    let c = good.chars().next()?;
    Some(((!c.is_control()).then_some(Key::Char(c)), c.len_utf8()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn keys(bytes: &[u8]) -> Vec<Key> {
        let mut keys = Keys::default();
        let mut read = keys.read(bytes);
        read.extend(keys.pause());
        read
    }

    #[test]
    fn keys_are_known_by_what_terminals_send_for_them() {
        assert_eq!(keys(b"\x1b[A\x1b[B\x1bOA\x1b[5~\x1b[6~"), [Key::Up, Key::Down, Key::Up, Key::PageUp, Key::PageDown]);
        assert_eq!(keys(b"\x1b[H\x1b[4~\t\r\x7f\x03"), [Key::Home, Key::End, Key::Tab, Key::Enter, Key::Backspace, Key::Interrupt]);
        assert_eq!(keys("jé日".as_bytes()), [Key::Char('j'), Key::Char('é'), Key::Char('日')]);
        assert_eq!(keys(b"\x1b"), [Key::Escape]);
        assert_eq!(keys(b"\x1bq"), [Key::Escape, Key::Char('q')]);
        assert_eq!(keys(b"\x1b[1;5C\x1b[200~y"), [Key::Char('y')], "what is not known is nothing, and no letters");
    }

    proptest! {
        #[test]
        fn it_does_not_matter_how_the_bytes_come(bytes in proptest::collection::vec(any::<u8>(), 0..40), at in 0_usize..40) {
            let (one, other) = bytes.split_at(at.min(bytes.len()));
            let mut parts = Keys::default();
            let mut read = parts.read(one);
            read.extend(parts.read(other));
            read.extend(parts.pause());
            prop_assert_eq!(read, keys(&bytes));
        }
    }
}
