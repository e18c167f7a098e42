//! Walls where bubblewrap is missing: Landlock. Less than those of bubblewrap, for what is closed is still seen.

use std::path::PathBuf;

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope,
    path_beneath_rules,
};

use crate::domain::Error;

/// The version of which all is wanted; the kernel gives what it has.
const WANTED: ABI = ABI::V6;
/// The version without which it is no wall.
const NEEDED: ABI = ABI::V1;

/// From here on this process and all that it starts write only below `writable` and to devices, and, without `net`, use no TCP.
///
/// # Errors
/// If the kernel has no Landlock.
pub(super) fn raise(writable: &[PathBuf], net: bool) -> Result<(), Error> {
    let refused = |error: landlock::RulesetError| Error::unavailable(format!("the kernel has no Landlock: {error}"));
    let all = AccessFs::from_all(WANTED);
    let raise = || {
        let ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement).handle_access(AccessFs::from_all(NEEDED))?;
        let ruleset = ruleset.set_compatibility(CompatLevel::BestEffort).handle_access(all)?;
        let ruleset = if net { ruleset } else { ruleset.handle_access(AccessNet::from_all(WANTED))? };
        let created = ruleset.scope(Scope::from_all(WANTED))?.create()?;
        let created = created.add_rules(path_beneath_rules(["/"], AccessFs::from_read(WANTED)))?;
        let devices = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev;
        let created = created.add_rules(path_beneath_rules(["/dev"], devices))?;
        created.add_rules(path_beneath_rules(writable, all))?.restrict_self()
    };
    let status = raise().map_err(refused)?;
    match status.ruleset {
        RulesetStatus::NotEnforced => Err(Error::unavailable("the kernel has no Landlock")),
        RulesetStatus::PartiallyEnforced | RulesetStatus::FullyEnforced => Ok(()),
    }
}
