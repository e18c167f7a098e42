//! A TOML file as a person writes it: read within a limit; what is wrong with it is said with its line.

use std::io::Read;
use std::ops::Range;
use std::path::Path;

use toml_edit::{Document, Item, Key, Table, TableLike, TomlError};

use crate::domain::Error;
use crate::limits::TOML_MAX_BYTES;

/// How alike a word must be to be the one that was meant; clap takes the same.
const LIKE: f64 = 0.7;

/// What was read, and where from.
pub(crate) struct TomlFile {
    name: String,
    document: Document<String>,
}

impl TomlFile {
    /// Reads a file; none if it is not there.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>, Error> {
        let file = match std::fs::File::open(path) {
            Ok(file) => file,
            Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => return Ok(None),
            Err(error) => return Err(Error::io(path, &error)),
        };
        Self::read_from(file, &path.display().to_string()).map(Some)
    }

    /// Reads to the end; `name` is for what is wrong with it.
    pub(crate) fn read_from(file: impl Read, name: &str) -> Result<Self, Error> {
        let mut text = String::new();
        let read = file.take(TOML_MAX_BYTES + 1).read_to_string(&mut text);
        let len = read.map_err(|error| match error.kind() {
            std::io::ErrorKind::InvalidData => Error::invalid(format!("{name}: is not text (UTF-8)")),
            std::io::ErrorKind::IsADirectory => Error::invalid(format!("{name}: is a folder; a file is needed")),
            _ => Error::io(name, &error),
        })?;
        if len as u64 > TOML_MAX_BYTES {
            return Err(Error::invalid(format!("{name}: is larger than {TOML_MAX_BYTES} bytes")));
        }
        Self::parse(text, name)
    }

    fn parse(text: String, name: &str) -> Result<Self, Error> {
        let failed = |error: TomlError| {
            let what = error.message().lines().collect::<Vec<_>>().join(", ");
            error
                .span()
                .map(|span| line_of(&text, &span))
                .map_or_else(|| Error::invalid(format!("{name}: {what}")), |line| Error::invalid(format!("{name}: line {line}: {what}")))
        };
        match Document::parse(text.clone()) {
            Ok(document) => Ok(Self { name: name.to_owned(), document }),
            Err(error) => Err(failed(error)),
        }
    }

    /// The whole.
    pub(crate) fn table(&self) -> &Table {
        self.document.as_table()
    }

    /// The document, to be changed and written back.
    pub(crate) fn into_mut(self) -> toml_edit::DocumentMut {
        self.document.into_mut()
    }

    /// As it is called in errors.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// A refusal of what stands at a key.
    pub(crate) fn refuse(&self, table: &dyn TableLike, key: &str, problem: impl std::fmt::Display) -> Error {
        let span = table.key(key).and_then(Key::span).or_else(|| table.get(key).and_then(Item::span));
        let line = span.map(|span| format!("line {}: ", line_of(self.document.raw(), &span))).unwrap_or_default();
        Error::invalid(format!("{}: {line}{problem}", self.name))
    }

    /// A refusal of a key that is none of these.
    pub(crate) fn unknown(&self, table: &dyn TableLike, key: &str, known: &[&str]) -> Error {
        let like = |word: &&&str| strsim::jaro(&key.replace('_', "-"), word);
        let nearest = known.iter().max_by(|a, b| like(a).total_cmp(&like(b))).filter(|word| like(word) > LIKE);
        let hint = nearest.map_or_else(|| format!("known are {}", known.join(", ")), |word| format!("did you mean `{word}`?"));
        self.refuse(table, key, format_args!("unknown key `{key}`: {hint}"))
    }

    /// The text at a key; none if it is not there.
    pub(crate) fn text(&self, table: &dyn TableLike, key: &str) -> Result<Option<String>, Error> {
        let Some(item) = table.get(key) else { return Ok(None) };
        let text = item.as_str().ok_or_else(|| self.refuse(table, key, format_args!("`{key}` is a text: write it in quotes")))?;
        Ok(Some(text.to_owned()))
    }
}

fn line_of(text: &str, span: &Range<usize>) -> usize {
    text.bytes().take(span.start).filter(|byte| *byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let refused = |text: &str| TomlFile::read_from(text.as_bytes(), "x.toml").map(drop).unwrap_err().message;
        assert!(refused("a = 1\nb = [\n").starts_with("x.toml: line "), "{}", refused("a = 1\nb = [\n"));
        assert!(refused("a = 1\na = 2\n").starts_with("x.toml: line 2: duplicate key"), "{}", refused("a = 1\na = 2\n"));
        assert!(refused(&"#".repeat(TOML_MAX_BYTES as usize + 1)).contains("larger than"));
        assert_eq!(TomlFile::read_from(&b"a = \"\xff\""[..], "x.toml").map(drop).unwrap_err().message, "x.toml: is not text (UTF-8)");
        let file = TomlFile::read_from(&b"\ntiemout = 1\n[jib]\n"[..], "x.toml").unwrap();
        let unknown = |key: &str| file.unknown(file.table(), key, &["timeout", "retries"]).message;
        assert_eq!(unknown("tiemout"), "x.toml: line 2: unknown key `tiemout`: did you mean `timeout`?");
        assert_eq!(unknown("jib"), "x.toml: line 3: unknown key `jib`: known are timeout, retries");
        assert_eq!(file.text(file.table(), "tiemout").unwrap_err().message, "x.toml: line 2: `tiemout` is a text: write it in quotes");
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "[a-z=\\[\\]{}.\"\n# é]{0,40}") {
            let _ = TomlFile::read_from(text.as_bytes(), "x").map(|file| file.table().iter().for_each(|(key, _)| {
                file.unknown(file.table(), key, &["a"]);
            }));
        }
    }
}
