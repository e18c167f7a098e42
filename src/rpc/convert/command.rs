//! A job's command and environment.

use super::check::{refuse, shown};
use crate::domain::{Error, SharedFile};
use crate::limits::COMMAND_MAX_BYTES;
use crate::rpc::pb;

/// Opens a placeholder for a shared file; `}` closes it.
const WITH: &str = "{with:";
/// How many shared files a refusal lists.
const LISTED: usize = 10;

/// An argument vector that `execve` can take, which names only shared files that there are.
pub(super) fn check_command(command: &[String], with: &[SharedFile]) -> Result<(), Error> {
    match command.first() {
        None => return Err(refuse("command", "empty; a program is needed, then its arguments")),
        Some(program) if program.is_empty() => return Err(refuse("command[0]", "empty; a program's name or path is needed")),
        Some(_) => {}
    }
    check_bytes("command", command.iter().map(|argument| argument.len() + 1))?;
    for (i, argument) in command.iter().enumerate() {
        let field = format_args!("command[{i}]");
        if argument.contains('\0') {
            return Err(refuse(field, format_args!("{} has a NUL byte, none is allowed", shown(argument))));
        }
        if let Some(name) = shared_names(argument).find(|name| with.iter().all(|file| file.name != *name)) {
            return Err(refuse(
                field,
                format_args!("{{with:NAME}} with the name {}, which is no shared file; {}", shown(name), known(with)),
            ));
        }
    }
    Ok(())
}

/// The names in all placeholders `{with:NAME}` of an argument. Other braces mean nothing.
fn shared_names(argument: &str) -> impl Iterator<Item = &str> {
    argument.split(WITH).skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name)
}

/// What may stand in a placeholder.
fn known(with: &[SharedFile]) -> String {
    if with.is_empty() {
        return "the job has none: give it with --with".into();
    }
    let mut names: Vec<_> = with.iter().take(LISTED).map(|file| shown(&file.name)).collect();
    if with.len() > LISTED {
        names.push(format!("and {} more", with.len() - LISTED));
    }
    format!("known are {}", names.join(", "))
}

pub(super) fn env_to_pb(env: &[(String, String)]) -> Vec<pb::EnvVar> {
    env.iter().map(|(name, value)| pb::EnvVar { name: name.clone(), value: value.clone() }).collect()
}

/// The field `env`. A name may come twice; the later one holds.
pub(super) fn env_from_pb(env: Vec<pb::EnvVar>) -> Result<Vec<(String, String)>, Error> {
    check_bytes("env", env.iter().map(|var| var.name.len() + var.value.len() + 2))?;
    for (i, var) in env.iter().enumerate() {
        if var.name.is_empty() || var.name.contains(['=', '\0']) {
            let problem = format!("{} is no variable's name: it must not be empty or have `=` or a NUL byte", shown(&var.name));
            return Err(refuse(format_args!("env[{i}].name"), problem));
        }
        if var.value.contains('\0') {
            return Err(refuse(format_args!("env[{i}].value"), format_args!("{} has a NUL byte, none is allowed", shown(&var.value))));
        }
    }
    Ok(env.into_iter().map(|var| (var.name, var.value)).collect())
}

/// The lengths count as `execve` counts them, with `=` and the byte that ends each; so their number is bounded too.
fn check_bytes(field: &str, lens: impl Iterator<Item = usize>) -> Result<(), Error> {
    let bytes: usize = lens.sum();
    if bytes > COMMAND_MAX_BYTES {
        return Err(refuse(field, format_args!("{bytes} bytes all together, at most {COMMAND_MAX_BYTES} are allowed")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Digest;

    fn files(names: &[&str]) -> Vec<SharedFile> {
        names.iter().map(|name| SharedFile { name: (*name).into(), digest: Digest([0; 32]), len: 1 }).collect()
    }

    fn refusal(command: &[&str], with: &[&str]) -> String {
        let command: Vec<_> = command.iter().map(|argument| argument.to_string()).collect();
        check_command(&command, &files(with)).unwrap_err().message
    }

    #[test]
    fn a_command_is_refused_for_one_clear_reason() {
        assert_eq!(refusal(&[], &[]), "command: empty; a program is needed, then its arguments");
        assert_eq!(refusal(&["", "x"], &[]), "command[0]: empty; a program's name or path is needed");
        assert_eq!(refusal(&["a", "b\0"], &[]), r#"command[1]: "b\0" has a NUL byte, none is allowed"#);
        assert_eq!(refusal(&["a", &"x".repeat(131_070)], &[]), "command: 131073 bytes all together, at most 131072 are allowed");
    }

    #[test]
    fn a_placeholder_must_name_a_shared_file() {
        assert_eq!(
            refusal(&["cat", "--db={with:ref.fasta}:{with:x}"], &["ref.fasta", "b"]),
            r#"command[1]: {with:NAME} with the name "x", which is no shared file; known are "ref.fasta", "b""#
        );
        assert_eq!(
            refusal(&["{with:}"], &[]),
            r#"command[0]: {with:NAME} with the name "", which is no shared file; the job has none: give it with --with"#
        );
        let names: Vec<_> = (0..12).map(|i| i.to_string()).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        assert!(refusal(&["{with:x}"], &names).ends_with(r#""9", and 2 more"#));
    }

    #[test]
    fn other_braces_stay() {
        let command: Vec<_> = ["awk", "{print $1}", "{with:", "{with}", "{{with:a}}", "{input}"].map(String::from).into();
        assert_eq!(check_command(&command, &files(&["a"])), Ok(()));
    }

    #[test]
    fn an_environment_is_refused_for_one_clear_reason() {
        let refusal =
            |name: &str, value: &str| env_from_pb(vec![pb::EnvVar { name: name.into(), value: value.into() }]).unwrap_err().message;
        assert_eq!(refusal("", "x"), r#"env[0].name: "" is no variable's name: it must not be empty or have `=` or a NUL byte"#);
        assert_eq!(refusal("a=", "x"), r#"env[0].name: "a=" is no variable's name: it must not be empty or have `=` or a NUL byte"#);
        assert_eq!(refusal("a", "\0"), r#"env[0].value: "\0" has a NUL byte, none is allowed"#);
        assert_eq!(refusal("a", &"x".repeat(131_070)), "env: 131073 bytes all together, at most 131072 are allowed");
    }
}
