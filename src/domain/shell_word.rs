//! A word of a command line, for a person to copy.

/// The word, quoted where a shell would read something else. `{input}` stays as it is; braces that bash would expand don't.
pub fn shell_word(text: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "-_.,:/@%+={}".contains(c);
    let expands = text.contains('{') && (text.contains(',') || text.contains(".."));
    let is_plain = !text.is_empty() && !expands && text.chars().all(is_plain);
    if is_plain { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shell_would_read_otherwise_is_quoted() {
        for plain in ["ana", "zone=a", "{input}", "{with:db.fasta}", "a,b", "../a"] {
            assert_eq!(shell_word(plain), plain);
        }
        let quoted = ["", "a b", "*", "o'hara", "{a,b}", "{1..9}", "$HOME", "~", "a;b"].map(shell_word);
        assert_eq!(quoted, ["''", "'a b'", "'*'", r"'o'\''hara'", "'{a,b}'", "'{1..9}'", "'$HOME'", "'~'", "'a;b'"]);
    }
}
