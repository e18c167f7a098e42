//! `IdentityService`.

use std::time::Duration;

use tonic::{Request, Response, Status};

use crate::actors::registrar::Certified;
use crate::actors::{Head, Registrar};
use crate::domain::{Digest, Error, PrincipalId, TokenId};
use crate::engine::tokens::NewToken;
use crate::limits::NAME_MAX_BYTES;
use crate::pki::random_bits;
use crate::rpc::convert::{duration_from_pb, principal_to_pb, role_from_pb, time_to_pb, token_to_pb};
use crate::rpc::pb;
use crate::rpc::pb::identity_service_server::IdentityService;
use crate::rpc::status::to_status;

use super::jobs::{check_request_id, page_size, page_token};
use super::steering::check_words;
use super::who::{About, Who};

/// How long a token counts whose maker does not say.
const TTL_DEFAULT: Duration = Duration::from_secs(3600);

/// See `proto/millpond/v1/identity.proto`.
pub struct Identities {
    head: Head,
}

/// The registrar of a head that has one.
///
/// # Errors
/// `Conflict`.
pub fn registrar_of(head: &Head) -> Result<&Registrar, Error> {
    head.registrar.as_ref().ok_or_else(|| {
        Error::conflict("this head has no identities, and lets in everybody: `millpond-head init` makes them, on the head's machine")
    })
}

fn certified(certified: Certified) -> pb::EnrollResponse {
    let Certified { who, certificate, authority, renew } = certified;
    pb::EnrollResponse {
        principal: Some(principal_to_pb(&who)),
        certificate: certificate.into(),
        authority: authority.into(),
        renew: Some(time_to_pb(renew)),
    }
}

/// A page of what was asked for one more of, and where the next one begins.
fn page<T>(mut items: Vec<T>, limit: usize, id: impl Fn(&T) -> String) -> (Vec<T>, String) {
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(id).unwrap_or_default();
    (items, next)
}

impl Identities {
    /// The service of a head.
    pub fn new(head: Head) -> Self {
        Self { head }
    }

    fn registrar(&self) -> Result<&Registrar, Error> {
        registrar_of(&self.head)
    }

    async fn new_token(&self, request: &pb::CreateTokenRequest, by: String) -> Result<pb::Token, Error> {
        let secret = request.secret_sha256.as_ref().try_into().map(Digest);
        let secret = secret.map_err(|_| Error::invalid("secret_sha256: 32 bytes are needed"))?;
        let ttl = request.ttl.map(|ttl| duration_from_pb(ttl).map_err(|error| error.context("ttl"))).transpose()?.unwrap_or(TTL_DEFAULT);
        let (id, role) = (TokenId::from_random(random_bits()?), role_from_pb(request.role)?);
        let new = NewToken { id, secret, role, name: request.name.clone(), ttl, uses: request.uses.max(1), by };
        let registrar = self.registrar()?;
        let token = registrar.create_token(new).await?;
        let authority_sha256 = registrar.identity().authority().fingerprint().0.to_vec().into();
        Ok(pb::Token { authority_sha256, ..token_to_pb(&token) })
    }
}

/// That what is written down of a request is bounded, and one line.
fn check(request_id: &str, reason: &str) -> Result<(), Error> {
    check_request_id(request_id)?;
    check_words(reason, "")
}

#[tonic::async_trait]
impl IdentityService for Identities {
    async fn enroll(&self, request: Request<pb::EnrollRequest>) -> Result<Response<pb::EnrollResponse>, Status> {
        let who = Who::of(&request, &self.head, "/millpond.v1.IdentityService/Enroll").await?;
        let pb::EnrollRequest { token, secret, certificate_request, host } = request.into_inner();
        let enroll = async {
            let registrar = self.registrar()?;
            let token: TokenId = token.parse()?;
            let about = About::just(format!("{token} for {}", host.get(..NAME_MAX_BYTES.min(host.len())).unwrap_or_default()));
            who.changes(&self.head, about, registrar.enroll(token, &secret, &certificate_request, host)).await
        };
        enroll.await.map(|done| Response::new(certified(done))).map_err(|error| to_status(&error))
    }

    async fn renew(&self, request: Request<pb::RenewRequest>) -> Result<Response<pb::EnrollResponse>, Status> {
        let who = Who::of(&request, &self.head, "/millpond.v1.IdentityService/Renew").await?;
        let renew = async {
            let registrar = self.registrar()?;
            let id = who.principal().ok_or_else(|| Error::denied("renew: with the certificate that is to be renewed"))?.id;
            let renewed = registrar.renew(id, &request.get_ref().certificate_request);
            who.changes(&self.head, About::just(id.to_string()), renewed).await
        };
        renew.await.map(|done| Response::new(certified(done))).map_err(|error| to_status(&error))
    }

    async fn who_am_i(&self, request: Request<pb::WhoAmIRequest>) -> Result<Response<pb::Principal>, Status> {
        let who = Who::of(&request, &self.head, "/millpond.v1.IdentityService/WhoAmI").await?;
        let found = || {
            let id = who.principal().ok_or_else(|| Error::denied("no certificate came"))?.id;
            self.registrar()?.principal(id)
        };
        // What the head is without identities comes first.
        let known = self.registrar().and_then(|_| found());
        known.map(|known| Response::new(principal_to_pb(&known))).map_err(|error| to_status(&error))
    }

    async fn create_token(&self, request: Request<pb::CreateTokenRequest>) -> Result<Response<pb::Token>, Status> {
        let who = Who::of(&request, &self.head, "/millpond.v1.IdentityService/CreateToken").await?;
        let request = request.into_inner();
        let create = async {
            check(&request.request_id, &request.reason)?;
            let role = role_from_pb(request.role)?;
            let what = format!("a token for {role} {}", request.name.get(..NAME_MAX_BYTES.min(request.name.len())).unwrap_or_default());
            let about = About { what: what.trim_end().to_owned(), reason: request.reason.clone(), request_id: request.request_id.clone() };
            let by = who.name(String::new());
            who.changes(&self.head, about, self.new_token(&request, by)).await
        };
        create.await.map(Response::new).map_err(|error: Error| to_status(&error))
    }

    async fn list_tokens(&self, request: Request<pb::ListTokensRequest>) -> Result<Response<pb::ListTokensResponse>, Status> {
        Who::of(&request, &self.head, "/millpond.v1.IdentityService/ListTokens").await?;
        let request = request.into_inner();
        let list = || {
            let limit = page_size(request.page_size)?;
            let tokens = self.registrar()?.tokens(page_token(&request.page_token)?, limit + 1);
            let (tokens, next_page_token) = page(tokens, limit, |token| token.id.to_string());
            Ok(pb::ListTokensResponse { tokens: tokens.iter().map(token_to_pb).collect(), next_page_token })
        };
        list().map(Response::new).map_err(|error: Error| to_status(&error))
    }

    async fn revoke_token(&self, request: Request<pb::RevokeTokenRequest>) -> Result<Response<pb::Token>, Status> {
        let who = Who::of(&request, &self.head, "/millpond.v1.IdentityService/RevokeToken").await?;
        let pb::RevokeTokenRequest { id, request_id, reason } = request.into_inner();
        let revoke = async {
            check(&request_id, &reason)?;
            let (registrar, token) = (self.registrar()?, id.parse::<TokenId>()?);
            let about = About { what: token.to_string(), reason, request_id };
            who.changes(&self.head, about, registrar.revoke_token(token)).await
        };
        revoke.await.map(|token| Response::new(token_to_pb(&token))).map_err(|error| to_status(&error))
    }

    async fn list_principals(&self, request: Request<pb::ListPrincipalsRequest>) -> Result<Response<pb::ListPrincipalsResponse>, Status> {
        Who::of(&request, &self.head, "/millpond.v1.IdentityService/ListPrincipals").await?;
        let request = request.into_inner();
        let list = || {
            let limit = page_size(request.page_size)?;
            let principals = self.registrar()?.principals(page_token(&request.page_token)?, limit + 1);
            let (principals, next_page_token) = page(principals, limit, |known| known.principal.id.to_string());
            Ok(pb::ListPrincipalsResponse { principals: principals.iter().map(principal_to_pb).collect(), next_page_token })
        };
        list().map(Response::new).map_err(|error: Error| to_status(&error))
    }

    async fn revoke_principal(&self, request: Request<pb::RevokePrincipalRequest>) -> Result<Response<pb::Principal>, Status> {
        let who = Who::of(&request, &self.head, "/millpond.v1.IdentityService/RevokePrincipal").await?;
        let pb::RevokePrincipalRequest { id, request_id, reason } = request.into_inner();
        let revoke = async {
            check(&request_id, &reason)?;
            let (registrar, principal) = (self.registrar()?, id.parse::<PrincipalId>()?);
            let about = About { what: principal.to_string(), reason, request_id };
            who.changes(&self.head, about, registrar.revoke(principal)).await
        };
        revoke.await.map(|known| Response::new(principal_to_pb(&known))).map_err(|error| to_status(&error))
    }
}
