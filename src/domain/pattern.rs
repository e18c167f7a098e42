//! A regular expression for lines, as a split rule holds it.

use std::fmt;

use regex::bytes::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

use super::error::Error;
use crate::limits::{PATTERN_MAX_BYTES, PATTERN_PROGRAM_MAX_BYTES, PATTERN_STATES_MAX_BYTES};

/// A regular expression in the syntax of crate `regex`, for bytes: it looks at a line without its end, in time linear in the line's length.
/// `.` is any byte, `\w` and the like are ASCII, unless `(?u)` asks for characters.
///
/// One that was read from the disk was checked when it was stated, maybe by another version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pattern(String);

impl Pattern {
    /// Checks it. `Invalid` if it is too long, does not compile, or matches a line that has nothing in it: it would cut everywhere.
    pub fn new(text: &str) -> Result<Self, Error> {
        if text.len() > PATTERN_MAX_BYTES {
            return Err(Error::invalid(format!("a pattern of {} bytes: at most {PATTERN_MAX_BYTES} are allowed", text.len())));
        }
        if text.contains(char::is_control) {
            return Err(Error::invalid("a pattern has no control characters: write a tab as \\t"));
        }
        let pattern = Self(text.to_owned());
        if pattern.compile()?.is_match(b"") {
            return Err(Error::invalid(format!("the pattern `{text}` matches an empty line: name something that stands in the line")));
        }
        Ok(pattern)
    }

    /// The program that finds it. `Invalid` if there is none.
    pub fn compile(&self) -> Result<Regex, Error> {
        let mut builder = RegexBuilder::new(&self.0);
        builder.unicode(false).size_limit(PATTERN_PROGRAM_MAX_BYTES).dfa_size_limit(PATTERN_STATES_MAX_BYTES);
        builder.build().map_err(|error| {
            let text = error.to_string();
            // A syntax error comes as a picture, its last line says what is wrong.
            let why = text.lines().last().unwrap_or_default().trim_start_matches("error: ").trim_end_matches('.').to_ascii_lowercase();
            Error::invalid(format!("the pattern `{}` is no regular expression: {why}", self.0))
        })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_refused_for_one_clear_reason() {
        for (text, says) in [
            ("[a", "the pattern `[a` is no regular expression: unclosed character class"),
            ("a{9999}{9999}", "the pattern `a{9999}{9999}` is no regular expression: compiled regex exceeds size limit of 65536 bytes"),
            ("[é]", "the pattern `[é]` is no regular expression: unicode not allowed here"),
            ("", "the pattern `` matches an empty line: name something that stands in the line"),
            ("^$", "the pattern `^$` matches an empty line: name something that stands in the line"),
            ("a|b*", "the pattern `a|b*` matches an empty line: name something that stands in the line"),
            ("a\tb", "a pattern has no control characters: write a tab as \\t"),
            (&"a".repeat(201), "a pattern of 201 bytes: at most 200 are allowed"),
        ] {
            assert_eq!(Pattern::new(text).unwrap_err().message, says);
        }
        for text in ["(?u)^[é]", "é", "(?u)\\w", "^.\\xff"] {
            Pattern::new(text).unwrap();
        }
        assert!(Pattern::new("^LOCUS\\b").unwrap().compile().unwrap().is_match(b"LOCUS x"));
    }
}
