//! A job's command: an argument vector with placeholders, checked when it is submitted, expanded when a task starts.
//!
//! Only exact known placeholders are replaced; every other brace belongs to the command (awk, jq). What was put in is not looked at again.
//! Pure.

use crate::domain::{Error, SplitRule};
use crate::limits::{COMMAND_MAX_BYTES, NAME_MAX_BYTES};

/// What begins the placeholder of a shared file.
const WITH: &str = "{with:";

/// What stands for what in one task.
#[derive(Clone, Copy, Debug)]
pub struct Placeholders<'a> {
    /// `{input}`: the chunk's path; empty for an array job.
    pub input: &'a str,
    /// `{output}`: the task's output folder.
    pub output: &'a str,
    /// `{index}`: as the user counts, without leading zeros (a shell would read them as octal).
    pub index: u64,
    /// `{count}`: how many tasks the job has.
    pub count: u64,
    /// `{job}`: as in `j7`.
    pub job: &'a str,
    /// `{with:NAME}`: names of shared files and their paths on this worker.
    pub with: &'a [(String, String)],
}

impl Placeholders<'_> {
    /// The placeholder that `text` begins with: its length and what stands for it.
    fn at_start(&self, text: &str) -> Option<(usize, String)> {
        let fixed = [("{input}", self.input), ("{output}", self.output), ("{job}", self.job)];
        let numbers = [("{index}", self.index), ("{count}", self.count)];
        let fixed = fixed.into_iter().find(|(name, _)| text.starts_with(name)).map(|(name, value)| (name.len(), value.to_owned()));
        fixed
            .or_else(|| numbers.into_iter().find(|(name, _)| text.starts_with(name)).map(|(name, value)| (name.len(), value.to_string())))
            .or_else(|| {
                let rest = text.strip_prefix(WITH)?;
                let (name, path) = self.with.iter().find(|(name, _)| names(rest, name))?;
                Some((WITH.len() + name.len() + 1, path.clone()))
            })
    }
}

/// Whether what follows `{with:` is this name and the closing brace.
fn names(rest: &str, name: &str) -> bool {
    rest.strip_prefix(name).is_some_and(|rest| rest.starts_with('}'))
}

/// One argument with its placeholders replaced.
pub fn expand(arg: &str, placeholders: &Placeholders<'_>) -> String {
    let mut expanded = String::with_capacity(arg.len());
    let mut rest = arg;
    while let Some((before, from_brace)) = rest.find('{').and_then(|at| rest.split_at_checked(at)) {
        expanded.push_str(before);
        let (len, value) = placeholders.at_start(from_brace).unwrap_or((1, "{".into()));
        expanded.push_str(&value);
        rest = from_brace.get(len..).unwrap_or_default();
    }
    expanded + rest
}

/// Whether the command takes its chunk by path. One that doesn't gets it on standard input.
pub fn uses_input(command: &[String]) -> bool {
    command.iter().any(|arg| arg.contains("{input}"))
}

/// Refuses a command that would get nothing of its chunk: several files can't be standard input.
///
/// A script of its own may ask for `MILLPOND_INPUT`, which nobody sees here; it is given `{input}` as well.
pub fn check_takes_files(command: &[String], rule: &SplitRule) -> Result<(), Error> {
    if !rule.makes_folders() || uses_input(command) || command.iter().any(|arg| arg.contains("MILLPOND_INPUT")) {
        return Ok(());
    }
    let problem = "several files can't be standard input: name {input}, the folder they lie in, in the command; or split by files:1";
    Err(Error::invalid(problem))
}

/// Refuses a command that could never run: an empty one, one that is too long, one that names a shared file the job doesn't have.
pub fn check(command: &[String], with_names: &[&str]) -> Result<(), Error> {
    match command.first() {
        None => return Err(Error::invalid("the command is empty: write it after `--`")),
        Some(program) if program.is_empty() => return Err(Error::invalid("the command's program is an empty word: name a program")),
        Some(_) => {}
    }
    if command.iter().any(|arg| arg.contains('\0')) {
        return Err(Error::invalid("the command holds a NUL character: no program can get it as an argument"));
    }
    // Each argument takes its terminating NUL as well; so no single one can be longer than the kernel's MAX_ARG_STRLEN.
    let len = command.iter().map(|arg| arg.len() + 1).sum::<usize>();
    if len > COMMAND_MAX_BYTES {
        return Err(Error::invalid(format!(
            "the command is {len} bytes long, more than {COMMAND_MAX_BYTES}: put its text into a file and give that with `--with`"
        )));
    }
    command.iter().try_for_each(|arg| check_shared_files(arg, with_names))
}

fn check_shared_files(arg: &str, with_names: &[&str]) -> Result<(), Error> {
    for (at, _) in arg.match_indices(WITH) {
        let rest = arg.get(at + WITH.len()..).unwrap_or_default();
        // Without a closing brace it is no placeholder.
        let Some((asked, _)) = rest.split_once('}') else { continue };
        if !with_names.iter().any(|name| names(rest, name)) {
            let known = if with_names.is_empty() { "none; give it with `--with`".into() } else { with_names.join(", ") };
            let asked: String = asked.chars().take(NAME_MAX_BYTES).collect();
            return Err(Error::invalid(format!("`{{with:{asked}}}` names no shared file of the job (known: {known})")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| word.to_string()).collect()
    }

    fn expanded(arg: &str) -> String {
        let with = [("a".to_string(), "/s/a".to_string()), ("a}b".to_string(), "{input}".to_string())];
        let placeholders = Placeholders { input: "/in {output}", output: "/out", index: 5, count: 9, job: "j7", with: &with };
        expand(arg, &placeholders)
    }

    #[test]
    fn a_command_over_several_files_names_them() {
        let check = |rule: &str, command: &[&str]| check_takes_files(&words(command), &rule.parse().unwrap());
        for rule in ["files:2", "files/chunks:3", "files/bytes:9"] {
            let refused = check(rule, &["sh", "-c", "cat"]).unwrap_err();
            assert!(refused.message.contains("name {input}, the folder they lie in"), "{refused}");
            assert!(check(rule, &["ls", "{input}"]).is_ok() && check(rule, &["sh", "-c", "ls $MILLPOND_INPUT"]).is_ok());
        }
        assert!(check("files:1", &["cat"]).is_ok() && check("lines:2", &["cat"]).is_ok());
    }

    #[test]
    fn known_placeholders_are_replaced_once() {
        assert_eq!(expanded("--in={input}"), "--in=/in {output}");
        assert_eq!(expanded("{output}/{index}of{count}.{job}"), "/out/5of9.j7");
        assert_eq!(expanded("{with:a}{with:a}"), "/s/a/s/a");
        assert_eq!(expanded("é{{index}}é"), "é{5}é");
        assert_eq!(expanded("{with:a}b}"), "/s/ab}", "the first name that fits");
    }

    #[test]
    fn other_braces_stay() {
        for arg in ["{print $1}", "{}", "{ input }", "{INPUT}", "{input", "{with:}", "{with:b}", "{with:a", "{a:.input}", "}{", ""] {
            assert_eq!(expanded(arg), arg);
        }
    }

    proptest! {
        #[test]
        fn text_without_braces_stays_as_it_is(arg in "[^{]*") {
            prop_assert_eq!(expanded(&arg), arg);
        }

        #[test]
        fn any_text_can_be_expanded_and_checked(arg in "(\\PC|\\{(input|with:|index)\\}?){0,20}") {
            expanded(&arg);
            let _ = check(&[arg], &["a"]);
        }
    }

    #[test]
    fn a_command_without_input_reads_standard_input() {
        assert!(uses_input(&words(&["grep", "x", "--file={input}"])));
        assert!(!uses_input(&words(&["grep", "x"])));
    }

    #[test]
    fn an_impossible_command_is_refused() {
        let refusal = |command: &[&str]| check(&words(command), &["ref.fa", "b"]).unwrap_err().message;
        assert!(refusal(&[]).contains("empty"));
        assert!(refusal(&["", "x"]).contains("empty word"));
        assert!(refusal(&["a", "b\0"]).contains("NUL"));
        assert!(refusal(&["a", &"x".repeat(COMMAND_MAX_BYTES)]).contains("131072"));
        assert_eq!(refusal(&["a", "{with:ref}"]), "`{with:ref}` names no shared file of the job (known: ref.fa, b)");
        check(&words(&["a", "{with:ref.fa}{with:b}", "{with:open", "{print}"]), &["ref.fa", "b"]).unwrap();
        check(&["x".repeat(COMMAND_MAX_BYTES - 1)], &[]).unwrap();
    }
}
