//! A line that comes in parts: what is kept of it.

/// How much of a line is kept, in bytes: longer than any keyword, and than any key before `=`.
pub(super) const HEAD_BYTES: usize = 64;

/// The first [`HEAD_BYTES`] of a line that is not complete, and whether the rest is blank: enough to know a keyword line by, however
/// long the line.
#[derive(Debug)]
pub(super) struct LineHead {
    bytes: [u8; HEAD_BYTES],
    kept: usize,
    rest_blank: bool,
}

impl LineHead {
    pub(super) fn new() -> Self {
        Self { bytes: [0; HEAD_BYTES], kept: 0, rest_blank: true }
    }

    /// Adds the next bytes of the line.
    pub(super) fn push(&mut self, part: &[u8]) {
        let (_, free) = self.bytes.split_at_mut(self.kept);
        let taken = free.len().min(part.len());
        let (head, rest) = part.split_at(taken);
        free[..taken].copy_from_slice(head);
        self.kept += taken;
        self.rest_blank = self.rest_blank && rest.iter().all(u8::is_ascii_whitespace);
    }

    /// No byte of the line has come.
    pub(super) fn is_empty(&self) -> bool {
        self.kept == 0
    }

    /// The first bytes of the line.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.kept]
    }

    /// Whether only white space follows them.
    pub(super) fn rest_blank(&self) -> bool {
        self.rest_blank
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_is_kept_and_the_rest_judged() {
        let mut head = LineHead::new();
        assert!(head.is_empty());
        head.push(b"END");
        head.push(b" IONS");
        head.push(&[b' '; 100]);
        assert_eq!(head.bytes().trim_ascii_end(), b"END IONS");
        assert_eq!(head.bytes().len(), HEAD_BYTES);
        assert!(head.rest_blank());
        head.push(b" x ");
        head.push(b" ");
        assert!(!head.rest_blank());
    }
}
