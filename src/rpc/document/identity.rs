//! Who is let in, and what lets others join.

use serde::Serialize;

use super::{VERSION, rfc3339, some};
use crate::rpc::pb;
use crate::rpc::units::now;

/// One principal.
#[derive(Serialize)]
pub(crate) struct Principal<'a> {
    version: u32,
    id: &'a str,
    name: &'a str,
    role: &'static str,
    state: &'static str,
    token: Option<&'a str>,
    created: Option<String>,
    expires: Option<String>,
    revoked: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dry_run: bool,
}

impl<'a> Principal<'a> {
    pub(crate) fn of(principal: &'a pb::Principal, dry_run: bool) -> Self {
        Self {
            version: VERSION,
            id: &principal.id,
            name: &principal.name,
            role: role_name(principal.role()),
            state: principal_state(principal),
            token: some(&principal.token),
            created: rfc3339(principal.created.as_ref()),
            expires: rfc3339(principal.expires.as_ref()),
            revoked: rfc3339(principal.revoked.as_ref()),
            dry_run,
        }
    }
}

/// In a word.
pub(crate) fn role_name(role: pb::Role) -> &'static str {
    match role {
        pb::Role::Unspecified => "unknown",
        pb::Role::Reader => "reader",
        pb::Role::Submitter => "submitter",
        pb::Role::Worker => "worker",
        pb::Role::Admin => "admin",
    }
}

/// In a word; by this machine's clock, where it is about time.
pub(crate) fn principal_state(principal: &pb::Principal) -> &'static str {
    let now = now().as_second();
    match principal {
        pb::Principal { revoked: Some(_), .. } => "revoked",
        pb::Principal { expires: Some(expires), .. } if expires.seconds <= now => "expired",
        _ => "let in",
    }
}

/// One token of `token list`; of `create` with the text that is shown once.
#[derive(Serialize)]
pub(crate) struct Token<'a> {
    version: u32,
    id: &'a str,
    role: &'static str,
    name: Option<&'a str>,
    state: &'static str,
    used: u32,
    uses: u32,
    created: Option<String>,
    by: Option<&'a str>,
    expires: Option<String>,
    revoked: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

impl<'a> Token<'a> {
    pub(crate) fn of(token: &'a pb::Token, text: Option<String>) -> Self {
        Self {
            version: VERSION,
            id: &token.id,
            role: role_name(token.role()),
            name: some(&token.name),
            state: token_state(token),
            used: token.used,
            uses: token.uses,
            created: rfc3339(token.created.as_ref()),
            by: some(&token.by),
            expires: rfc3339(token.expires.as_ref()),
            revoked: rfc3339(token.revoked.as_ref()),
            token: text,
        }
    }
}

/// In a word; by this machine's clock, where it is about time.
pub(crate) fn token_state(token: &pb::Token) -> &'static str {
    let now = now().as_second();
    match token {
        pb::Token { revoked: Some(_), .. } => "revoked",
        pb::Token { expires: Some(expires), .. } if expires.seconds <= now => "expired",
        pb::Token { used, uses, .. } if used >= uses => "used up",
        _ => "usable",
    }
}
