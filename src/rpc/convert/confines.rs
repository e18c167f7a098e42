//! What a worker's tasks are confined by.

use super::check::{each, line, sentence};
use crate::domain::{Confines, Error, Sandbox};
use crate::limits::{SANDBOX_GAPS_MAX, TEXT_MAX_BYTES};
use crate::rpc::pb;
use crate::rpc::pb::sandbox::Profile;

/// To the message. Of very many gaps the first are said.
pub fn confines_to_pb(confines: &Confines) -> pb::Sandbox {
    let profile = match confines.sandbox {
        Sandbox::None => Profile::None,
        Sandbox::Basic => Profile::Basic,
        Sandbox::Strict => Profile::Strict,
    };
    pb::Sandbox { profile: profile.into(), gaps: confines.gaps.iter().take(SANDBOX_GAPS_MAX).map(|gap| sentence(gap)).collect() }
}

/// From the message; none for a profile of a later version.
///
/// # Errors
/// `Invalid` for more than [`SANDBOX_GAPS_MAX`] gaps, one over [`TEXT_MAX_BYTES`] or with control characters.
pub fn confines_from_pb(sandbox: pb::Sandbox) -> Result<Option<Confines>, Error> {
    let profile = sandbox.profile();
    let gaps = each("gaps", sandbox.gaps, SANDBOX_GAPS_MAX, |gap| line("gap", &gap, TEXT_MAX_BYTES).map(|()| gap))?;
    let sandbox = match profile {
        Profile::Unspecified => return Ok(None),
        Profile::None => Sandbox::None,
        Profile::Basic => Sandbox::Basic,
        Profile::Strict => Sandbox::Strict,
    };
    Ok(Some(Confines { sandbox, gaps }))
}
