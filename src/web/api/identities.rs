//! Who is let in. A token is made by the command line alone: its secret is made where it is shown, and the head never learns it.

use axum::extract::State;

use super::ask::{Id, Query, json, listing, request_id};
use super::refusal::Answer;
use crate::rpc::document::{Principal, Token};
use crate::rpc::pb;
use crate::rpc::pb::identity_service_server::IdentityService;
use crate::web::asker::{Asker, answered};
use crate::web::routes::Web;

pub(super) async fn whoami(State(web): State<Web>, asker: Asker) -> Answer {
    json(&Principal::of(&answered(web.identities.who_am_i(asker.asks(pb::WhoAmIRequest {})).await)?, false))
}

pub(super) async fn tokens(State(web): State<Web>, asker: Asker, query: Query) -> Answer {
    let (page_size, page_token) = query.page()?;
    let page = answered(web.identities.list_tokens(asker.asks(pb::ListTokensRequest { page_size, page_token })).await)?;
    listing("tokens", &page.tokens, |token| Token::of(token, None), &page.next_page_token)
}

pub(super) const REVOKE_WORDS: &[&str] = &["request_id", "reason"];

pub(super) async fn revoke_token(State(web): State<Web>, asker: Asker, Id(id): Id, query: Query) -> Answer {
    let (request_id, reason) = (request_id(query.get("request_id").map(str::to_owned)), query.text("reason"));
    let request = pb::RevokeTokenRequest { id, request_id, reason };
    json(&Token::of(&answered(web.identities.revoke_token(asker.asks(request)).await)?, None))
}

pub(super) async fn principals(State(web): State<Web>, asker: Asker, query: Query) -> Answer {
    let (page_size, page_token) = query.page()?;
    let request = pb::ListPrincipalsRequest { page_size, page_token };
    let page = answered(web.identities.list_principals(asker.asks(request)).await)?;
    listing("principals", &page.principals, |principal| Principal::of(principal, false), &page.next_page_token)
}

pub(super) async fn revoke_principal(State(web): State<Web>, asker: Asker, Id(id): Id, query: Query) -> Answer {
    let (request_id, reason) = (request_id(query.get("request_id").map(str::to_owned)), query.text("reason"));
    let request = pb::RevokePrincipalRequest { id, request_id, reason };
    json(&Principal::of(&answered(web.identities.revoke_principal(asker.asks(request)).await)?, false))
}
