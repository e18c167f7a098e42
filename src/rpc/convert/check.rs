//! The refusals that all conversions share, each with the path of its field.

use std::fmt::Display;
use std::ops::RangeInclusive;

use crate::domain::{Digest, Error};
use crate::limits::{self, NAME_MAX_BYTES};

/// How much of a refused text its refusal repeats.
const SHOWN_CHARS: usize = 60;

/// A refusal of a field.
pub(super) fn refuse(field: impl Display, problem: impl Display) -> Error {
    Error::invalid(format!("{field}: {problem}"))
}

/// Puts the name of a message in front of the field that was refused in it.
pub(super) trait Within {
    /// `field: problem` becomes `message.field: problem`.
    fn within(self, message: impl Display) -> Self;
}

impl<T> Within for Result<T, Error> {
    fn within(self, message: impl Display) -> Self {
        self.map_err(|error| Error { message: format!("{message}.{}", error.message), ..error })
    }
}

/// Converts a message that must be there.
pub(super) fn message<A, B>(field: &str, value: Option<A>, convert: impl FnOnce(A) -> Result<B, Error>) -> Result<B, Error> {
    convert(value.ok_or_else(|| refuse(field, "missing; it must be set"))?).within(field)
}

/// Converts a list of at most `max` items.
pub(super) fn each<A, B>(field: &str, items: Vec<A>, max: usize, convert: impl Fn(A) -> Result<B, Error>) -> Result<Vec<B>, Error> {
    at_most(field, items.len(), max)?;
    items.into_iter().enumerate().map(|(i, item)| convert(item).within(format_args!("{field}[{i}]"))).collect()
}

/// A list may have so many items.
pub(super) fn at_most(field: &str, count: usize, max: usize) -> Result<(), Error> {
    if count > max {
        return Err(refuse(field, format_args!("{count} items, at most {max} are allowed")));
    }
    Ok(())
}

/// A number in a range.
pub(super) fn between<T: PartialOrd + Display>(field: &str, value: T, range: RangeInclusive<T>) -> Result<T, Error> {
    if range.contains(&value) {
        return Ok(value);
    }
    Err(refuse(field, format_args!("{value} is not allowed: from {} to {}", range.start(), range.end())))
}

/// One line, perhaps empty.
pub(super) fn line(field: &str, text: &str, max_bytes: usize) -> Result<(), Error> {
    if text.len() > max_bytes {
        return Err(refuse(field, format_args!("{} bytes, at most {max_bytes} are allowed", text.len())));
    }
    if text.contains(char::is_control) {
        return Err(refuse(field, format_args!("{} has a control character, none is allowed", shown(text))));
    }
    Ok(())
}

/// One line that is not empty, of at most [`NAME_MAX_BYTES`].
pub(super) fn name(field: &str, text: &str) -> Result<(), Error> {
    if text.is_empty() {
        return Err(refuse(field, format_args!("empty; 1 to {NAME_MAX_BYTES} bytes are needed")));
    }
    line(field, text, NAME_MAX_BYTES)
}

/// A name that can be a file's: one path component.
pub(super) fn file_name(field: &str, text: &str) -> Result<(), Error> {
    name(field, text)?;
    if text.contains('/') || matches!(text, "." | "..") {
        return Err(refuse(field, format_args!("{} can't be a file's name: `/`, `.` and `..` are not allowed", shown(text))));
    }
    Ok(())
}

/// A digest in its text form.
pub(super) fn digest(field: &str, text: &str) -> Result<Digest, Error> {
    // Its own message would repeat the whole text, however long or odd.
    text.parse().map_err(|_| refuse(field, format_args!("{} is not a SHA-256: 64 hexadecimal digits are needed", shown(text))))
}

/// A refused text as its refusal shows it: in quotes, escaped, its beginning.
pub(super) fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{:?}…", text.get(..end).unwrap_or_default()),
        None => format!("{text:?}"),
    }
}

/// A sentence as the other side takes it: one line, at most [`limits::TEXT_MAX_BYTES`]. What was noticed is worth more than its wording.
pub(super) fn sentence(text: &str) -> String {
    let end = (0..=limits::TEXT_MAX_BYTES).rev().find(|&end| text.is_char_boundary(end)).unwrap_or_default();
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    // A two-byte control character becomes a one-byte blank: it never grows.
    text.get(..end).unwrap_or_default().chars().map(clean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_shows_only_the_beginning_of_a_long_text() {
        let long = "é\n".repeat(1000);
        assert!(digest("digest", &long).unwrap_err().message.chars().count() < 200);
        assert_eq!(shown("a\nb"), r#""a\nb""#);
    }

    #[test]
    fn a_sentence_is_cut_between_characters_and_is_one_line() {
        let long = "€\u{85}\n".repeat(3000);
        let text = sentence(&long);
        assert!(line("reason", &text, limits::TEXT_MAX_BYTES).is_ok());
        assert_eq!(sentence("no such file\n"), "no such file ");
    }

    #[test]
    fn a_name_is_refused_for_one_clear_reason() {
        for (text, says) in [
            ("", "name: empty; 1 to 255 bytes are needed"),
            ("a/b", r#"name: "a/b" can't be a file's name: `/`, `.` and `..` are not allowed"#),
            ("..", r#"name: ".." can't be a file's name: `/`, `.` and `..` are not allowed"#),
            ("a\u{1b}[2J", r#"name: "a\u{1b}[2J" has a control character, none is allowed"#),
        ] {
            assert_eq!(file_name("name", text).unwrap_err().message, says);
        }
        assert_eq!(name("name", &"x".repeat(256)).unwrap_err().message, "name: 256 bytes, at most 255 are allowed");
    }
}
