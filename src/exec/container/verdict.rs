//! Whose exit code it is: the container program has three of its own, the first process of its containers one, and all others are passed on. Pure.

use super::program::Kind;

/// From this code on it may be the container program's own: 125 it failed itself, 126 the command can't be executed, 127 it is not there.
const OWN_CODES: std::ops::RangeInclusive<i32> = 125..=127;
/// Of podman's first process, where there is no such command. Docker's has those of the shell, which are the same as above.
const NO_COMMAND: i32 = 1;

/// Whether it may be of one of them.
pub(super) fn is_own(code: i32) -> bool {
    OWN_CODES.contains(&code) || code == NO_COMMAND
}

/// What the container program said, if the exit is its own and not the command's, which may have these codes as well: then there is a line of
/// its own at the end of what both wrote to the standard error. A command that ends with such a line and such a code is believed to be it.
pub(super) fn own_words(kind: Kind, code: i32, stderr: &str) -> Option<String> {
    if !is_own(code) {
        return None;
    }
    let mut lines = stderr.lines().rev().map(str::trim).filter(|line| !line.is_empty());
    let last = lines.next()?;
    let own = OWN_CODES.contains(&code);
    let said = match kind {
        Kind::Podman if own => last.strip_prefix("Error: "),
        Kind::Podman => last.strip_prefix("ERROR (catatonit").and_then(|rest| rest.split_once("failed to exec pid1: ")).map(|(_, why)| why),
        Kind::Docker if !own => None,
        Kind::Docker if last.starts_with("[FATAL tini") => last.split_once("] ").map(|(_, why)| why),
        // Behind it there may be a hint.
        Kind::Docker => std::iter::once(last).chain(lines).take(3).find_map(|line| line.strip_prefix("docker: ")),
    };
    said.map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_programs_own_failures_are_told_from_the_commands() {
        let podman = |code, text| own_words(Kind::Podman, code, text);
        let docker = |code, text| own_words(Kind::Docker, code, text);
        let missing = "Error: crun: executable file `nope` not found in $PATH: No such file or directory\n";
        assert_eq!(podman(127, missing).unwrap(), "crun: executable file `nope` not found in $PATH: No such file or directory");
        assert_eq!(podman(125, "warning\nError: x: image not known\n\n").unwrap(), "x: image not known");
        let refused = "some output\ndocker: Error response from daemon: no such image.\n\nRun 'docker run --help' for more information\n";
        assert_eq!(docker(125, refused).unwrap(), "Error response from daemon: no such image.");
        for (code, text) in [(1, missing), (125, ""), (127, "sh: 1: nope: not found\n"), (126, "Error: early\nlater\n")] {
            assert_eq!(podman(code, text), None, "{code} {text}");
        }
        let no_command = "ERROR (catatonit:2): failed to exec pid1: No such file or directory\n";
        assert_eq!(podman(1, no_command).unwrap(), "No such file or directory");
        assert_eq!((podman(2, no_command), podman(1, "Error: mine\n"), docker(1, no_command)), (None, None, None));
        assert_eq!(
            docker(127, "[FATAL tini (7)] exec nope failed: No such file or directory").unwrap(),
            "exec nope failed: No such file or directory"
        );
        assert_eq!(docker(127, "sh: 1: docker: not found\n"), None);
    }
}
