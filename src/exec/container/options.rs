//! What an admin says of containers.

use std::fmt;
use std::str::FromStr;

use super::program::Kind;
use crate::domain::Error;

/// Which container program tasks may be run by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ContainerChoice {
    /// Where tasks are in no sandbox, the first of podman and docker that is usable; otherwise none.
    #[default]
    Auto,
    /// This one: without it the worker does not start.
    This(Kind),
    /// None.
    Off,
}

impl fmt::Display for ContainerChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::This(kind) => kind.name(),
            Self::Off => "none",
        })
    }
}

impl FromStr for ContainerChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let all = [Self::Auto, Self::This(Kind::Podman), Self::This(Kind::Docker), Self::Off];
        let found = all.into_iter().find(|choice| choice.to_string() == text);
        found.ok_or_else(|| Error::invalid(format!("containers `{text}`: write auto, podman, docker or none")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_read_as_it_is_written() {
        for text in ["auto", "podman", "docker", "none"] {
            assert_eq!(text.parse::<ContainerChoice>().unwrap().to_string(), text);
        }
        assert_eq!("lxc".parse::<ContainerChoice>().unwrap_err().message, "containers `lxc`: write auto, podman, docker or none");
    }
}
