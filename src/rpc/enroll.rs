//! Joins a head: trades a token for credentials, and credentials for the next ones.
//!
//! The channel comes in as an argument. For [`enroll`] it is one that has made sure that the other side shows the authority that the token
//! names; that the answer brings the same is checked here again.

use tonic::transport::Channel;

use crate::domain::{Digest, Error};
use crate::limits::MESSAGE_MAX_BYTES;
use crate::pki::{Credentials, JoinToken, NewRequest, digest_of, new_request};

use super::address::HeadAddress;
use super::pb;
use super::pb::identity_service_client::IdentityServiceClient;
use super::status::from_call;

/// How often a call that may be repeated is made.
const TRIES_MAX: u32 = 5;

fn client(channel: Channel) -> IdentityServiceClient<Channel> {
    IdentityServiceClient::new(channel).max_decoding_message_size(MESSAGE_MAX_BYTES).max_encoding_message_size(MESSAGE_MAX_BYTES)
}

/// Trades a token for credentials, at the head that it names or another address of it ([`HeadAddress::pinned`]). The credentials note that
/// address.
///
/// # Errors
/// As [`enroll`].
pub async fn join(address: &HeadAddress, token: &JoinToken) -> Result<Credentials, Error> {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let channel = address.channel().await.map_err(|error| super::client::unreachable(address.url(), &error))?;
    let credentials = enroll(channel, token, &host).await?;
    Ok(Credentials { head: address.url().to_owned(), ..credentials })
}

/// Trades a token for credentials. `host`: this machine's name, by which a worker is called. The key is made here, and stays here. A call whose
/// answer is lost is made again, with the same key, which costs no use of the token.
///
/// # Errors
/// `Denied` for a token that does not count (any more), and for a head of another authority than the token's; `Unavailable`.
pub async fn enroll(channel: Channel, token: &JoinToken, host: &str) -> Result<Credentials, Error> {
    let NewRequest { key, request } = new_request()?;
    let request = pb::EnrollRequest {
        token: token.id.to_string(),
        secret: token.secret.to_vec().into(),
        certificate_request: request.into(),
        host: host.to_owned(),
    };
    let answer = repeat(|| {
        let (mut client, request) = (client(channel.clone()), request.clone());
        async move { client.enroll(request).await }
    })
    .await?;
    let credentials = credentials(token.head.clone(), &key, answer)?;
    if digest_of(&credentials.authority) != token.fingerprint {
        return Err(wrong_authority(token.fingerprint, digest_of(&credentials.authority)));
    }
    Ok(credentials)
}

/// New credentials for old ones that still count; the channel shows the old ones. The key is a new one.
///
/// # Errors
/// `Denied` for a principal that was revoked; `Unavailable`.
pub async fn renew(channel: Channel, old: &Credentials) -> Result<Credentials, Error> {
    let NewRequest { key, request } = new_request()?;
    let request = pb::RenewRequest { certificate_request: request.into() };
    let answer = repeat(|| {
        let (mut client, request) = (client(channel.clone()), request.clone());
        async move { client.renew(request).await }
    })
    .await?;
    let new = credentials(old.head.clone(), &key, answer)?;
    if new.authority != old.authority {
        return Err(wrong_authority(digest_of(&old.authority), digest_of(&new.authority)));
    }
    if new.peer.principal.id != old.peer.principal.id {
        return Err(Error::denied(format!("the head has answered {} with credentials of {}", old.peer.principal, new.peer.principal)));
    }
    Ok(new)
}

fn credentials(head: String, key: &str, answer: pb::EnrollResponse) -> Result<Credentials, Error> {
    let pb::EnrollResponse { certificate, authority, .. } = answer;
    Credentials::new(head, key, certificate.to_vec(), authority.to_vec())
}

fn wrong_authority(expected: Digest, found: Digest) -> Error {
    Error::denied(format!(
        "this is another head than the token's: its authority is {found}, and the token names {expected}: is the address right? if it is, \
         somebody stands between"
    ))
}

async fn repeat<T, F>(call: impl Fn() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<tonic::Response<T>, tonic::Status>>,
{
    let mut tries = 1;
    loop {
        let error = match call().await {
            Ok(reply) => return Ok(reply.into_inner()),
            Err(status) => from_call(&status),
        };
        if error.kind != crate::domain::ErrorKind::Unavailable || tries == TRIES_MAX {
            return Err(error);
        }
        super::client::pause_after(tries).await;
        tries += 1;
    }
}
