//! A pattern for names, as shells have it.

use regex::{Regex, RegexBuilder};

use super::error::Error;
use crate::limits::{NAME_MAX_BYTES, PATTERN_PROGRAM_MAX_BYTES};

/// `*` is any text, `?` one character, `[a-z]` and `[!a-z]` one of these or none of them; everything else is itself. It means whole names.
#[derive(Clone, Debug)]
pub struct Glob {
    text: String,
    program: Regex,
}

impl Glob {
    /// Reads one. `Invalid` for one that is too long, or has a `[` without its end.
    pub fn new(text: &str) -> Result<Self, Error> {
        if text.len() > NAME_MAX_BYTES {
            return Err(Error::invalid(format!("a name pattern of {} bytes: at most {NAME_MAX_BYTES} are allowed", text.len())));
        }
        let bad = || {
            Error::invalid(format!("the name pattern `{text}` is not one: write * for any text, ? for a character, [a-z] for one of these"))
        };
        let mut regex = String::from("^");
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            rest = &rest[c.len_utf8()..];
            match c {
                '*' => regex.push_str(".*"),
                '?' => regex.push('.'),
                '[' => {
                    let (set, behind) = rest.split_once(']').filter(|(set, _)| !set.is_empty()).ok_or_else(bad)?;
                    regex.push_str(&class(set));
                    rest = behind;
                }
                c => regex.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
            }
        }
        regex.push('$');
        let mut builder = RegexBuilder::new(&regex);
        builder.dot_matches_new_line(true).size_limit(16 * PATTERN_PROGRAM_MAX_BYTES);
        let program = builder.build().map_err(|_| bad())?;
        Ok(Self { text: text.to_owned(), program })
    }

    /// Whether it means this name.
    pub fn matches(&self, name: &str) -> bool {
        self.program.is_match(name)
    }
}

impl PartialEq for Glob {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Glob {}

/// What stands between `[` and `]`; a `-` between two characters is a range, everything else is itself.
fn class(set: &str) -> String {
    let (not, set) = set.strip_prefix(['!', '^']).map_or(("", set), |set| ("^", set));
    let set: Vec<String> = set.chars().map(|c| if c == '-' { "-".to_owned() } else { regex::escape(c.encode_utf8(&mut [0; 4])) }).collect();
    format!("[{not}{}]", set.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glob_means_whole_names_as_in_a_shell() {
        let means = |glob: &str, name: &str| Glob::new(glob).unwrap().matches(name);
        assert!(means("run-*", "run-7") && means("run-*", "run-") && !means("run-*", "a run-7") && !means("run", "run-7"));
        assert!(means("?", "ü") && !means("?", "ab") && means("*.mgf", "a.b.mgf") && !means("*.mgf", "axmgf"));
        assert!(means("w[1-3]", "w2") && !means("w[1-3]", "w4") && means("w[!1-3]", "w4") && means("[.]*", ".x"));
        assert!(means("a+(b)|^$", "a+(b)|^$"), "nothing else is special");
        for bad in ["[", "[]", "a[b", "[z-a]", &"x".repeat(NAME_MAX_BYTES + 1)] {
            assert!(Glob::new(bad).unwrap_err().message.contains("name pattern"), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics_and_a_plain_one_means_itself(text in "[a-z*?\\[\\]!^\\\\&~ü.-]{0,20}", plain in "[a-z.+^$(){}|\\\\&~ -]{0,20}") {
            let _ = Glob::new(&text).map(|glob| glob.matches(&text));
            assert!(Glob::new(&plain).unwrap().matches(&plain));
        }
    }
}
