//! Principals and tokens.

use super::time::time_to_pb;
use crate::domain::identity::{Admitted, Token};
use crate::domain::{Error, Role};
use crate::rpc::pb;

/// To a role on the wire.
pub fn role_to_pb(role: Role) -> pb::Role {
    match role {
        Role::Reader => pb::Role::Reader,
        Role::Submitter => pb::Role::Submitter,
        Role::Worker => pb::Role::Worker,
        Role::Admin => pb::Role::Admin,
    }
}

/// From a role on the wire.
///
/// # Errors
/// `Invalid` for one that is none.
pub fn role_from_pb(role: i32) -> Result<Role, Error> {
    match pb::Role::try_from(role) {
        Ok(pb::Role::Reader) => Ok(Role::Reader),
        Ok(pb::Role::Submitter) => Ok(Role::Submitter),
        Ok(pb::Role::Worker) => Ok(Role::Worker),
        Ok(pb::Role::Admin) => Ok(Role::Admin),
        Ok(pb::Role::Unspecified) | Err(_) => Err(Error::invalid("role: one of reader, submitter, worker and admin is needed")),
    }
}

/// To a principal as it is shown.
pub fn principal_to_pb(known: &Admitted) -> pb::Principal {
    let Admitted { principal, token, key: _, at, issued, revoked } = known;
    pb::Principal {
        id: principal.id.to_string(),
        name: principal.name.clone(),
        role: role_to_pb(principal.role).into(),
        token: token.map(|token| token.to_string()).unwrap_or_default(),
        created: Some(time_to_pb(*at)),
        expires: Some(time_to_pb(issued.expires)),
        revoked: revoked.map(time_to_pb),
    }
}

/// To a token as it is shown: without what could let somebody guess its secret.
pub fn token_to_pb(token: &Token) -> pb::Token {
    let Token { id, secret: _, role, name, created, by, expires, uses, used, revoked } = token;
    pb::Token {
        id: id.to_string(),
        role: role_to_pb(*role).into(),
        name: name.clone(),
        created: Some(time_to_pb(*created)),
        by: by.clone(),
        expires: Some(time_to_pb(*expires)),
        uses: *uses,
        used: *used,
        revoked: revoked.map(time_to_pb),
        authority_sha256: Default::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_survives_the_wire_and_no_other_number_is_one() {
        for role in Role::ALL {
            assert_eq!(role_from_pb(role_to_pb(role).into()), Ok(role));
        }
        for bad in [0, 5, -1] {
            assert!(role_from_pb(bad).is_err());
        }
    }
}
