//! Who calls, and what he may reach: asked at the beginning of every method.
//!
//! The door puts a [`Caller`] into a request's extensions, and asks `engine::access` before a method is entered. Each method asks again, so that
//! a mistake there does not open everything; and it alone knows whose a thing is.

use std::net::SocketAddr;

use tonic::{Request, Status};

use crate::actors::Head;
use crate::actors::clock::wall_now;
use crate::audit::{Outcome, Record};
use crate::domain::{Caller, Digest, Error, ErrorKind, JobId, Principal};
use crate::engine::JobFilter;
use crate::engine::access::{self, Access};
use crate::rpc::status::to_status;

/// Where a call comes from, if the transport does not say it itself: put into a request's extensions by whoever accepts connections.
#[derive(Clone, Copy, Debug)]
pub struct CameFrom(pub SocketAddr);

/// Whoever calls a method.
#[derive(Clone, Debug)]
pub struct Who {
    /// As the door has found out.
    pub caller: Caller,
    /// What of the method's things he may reach.
    pub access: Access,
    from: String,
    method: &'static str,
}

/// What a change is about, for the audit.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// `j7`, a digest, `w3`, a token, a principal.
    pub what: String,
    /// Why, in the caller's words.
    pub reason: String,
    /// The client's.
    pub request_id: String,
}

impl About {
    /// A change of something, without a reason and an id.
    pub fn just(what: impl Into<String>) -> Self {
        Self { what: what.into(), ..Self::default() }
    }
}

impl Who {
    /// Whoever makes this call of a method, as `/millpond.v1.JobService/KillJob`. One who may not is written into the audit.
    ///
    /// # Errors
    /// `Denied`.
    pub async fn of<T>(request: &Request<T>, head: &Head, method: &'static str) -> Result<Self, Status> {
        Self::asks(request.extensions(), head, method).await.map_err(|error| to_status(&error))
    }

    /// The same for a page, as `GET /v1/jobs/{id}/bundle`.
    ///
    /// # Errors
    /// `Denied`.
    pub async fn asks(extensions: &http::Extensions, head: &Head, method: &'static str) -> Result<Self, Error> {
        let caller = extensions.get::<Caller>().cloned().unwrap_or(Caller::Anyone);
        let from = extensions.get::<CameFrom>().map(|from| from.0.to_string()).unwrap_or_default();
        match access::decide(method, &caller, head.registrar.is_some()) {
            Ok(access) => Ok(Self { caller, access, from, method }),
            Err(error) => {
                note_refusal(head, &caller, from, method, &error).await;
                Err(error)
            }
        }
    }

    /// The principal, if it is known.
    pub fn principal(&self) -> Option<&Principal> {
        self.caller.principal()
    }

    /// Whom a change is said to be by: the principal; on a head without identities whoever the caller says that he is.
    pub fn name(&self, claimed: String) -> String {
        self.principal().map_or(claimed, |principal| principal.name.clone())
    }

    /// Whether something is within reach that belongs to `owner`.
    ///
    /// # Errors
    /// `Denied`.
    pub fn reaches(&self, what: impl std::fmt::Display, owner: &str) -> Result<(), Error> {
        if self.access.covers(&self.caller, Some(owner)) {
            return Ok(());
        }
        let name = self.principal().map_or("nobody", |principal| principal.name.as_str());
        Err(Error::denied(format!(
            "{what} belongs to another than {name}: only its owner, or an admin, may {}",
            access::short(self.method)
        )))
    }

    /// Whether a job is within reach.
    ///
    /// # Errors
    /// `Denied` for another's; `NotFound`.
    pub async fn reaches_job(&self, head: &Head, job: JobId) -> Result<(), Error> {
        match self.access {
            Access::All => Ok(()),
            Access::Own | Access::No => self.reaches(job, &head.job(job).await?.view.spec.owner),
        }
    }

    /// Whether a data set is within reach: of one who has sent its bytes. Another learns nothing of it, not even that it is there.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn reaches_dataset(&self, head: &Head, digest: Digest) -> Result<(), Error> {
        match (self.access, self.principal()) {
            (Access::All, _) => Ok(()),
            (Access::Own, Some(principal)) if head.owns_dataset(digest, &principal.name).await? => Ok(()),
            (Access::Own | Access::No, _) => Err(Error::not_found(format!("there is no data set {digest}"))),
        }
    }

    /// Whose something is that he brings.
    pub fn owner(&self) -> Option<&str> {
        self.principal().map(|principal| principal.name.as_str())
    }

    /// Makes a change, and writes into the audit what came of it, before anybody is told.
    ///
    /// # Errors
    /// That of the change; `Exhausted` where it was made and can't be written down.
    pub async fn changes<T>(&self, head: &Head, about: About, change: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let changed = change.await;
        let outcome = match &changed {
            Ok(_) => Outcome::Done,
            Err(error) => Outcome::Refused(error.message.clone()),
        };
        let noted = self.note(head, about, outcome).await;
        match (changed, noted) {
            (Ok(changed), Ok(())) => Ok(changed),
            (Ok(_), Err(error)) => Err(error.context("it was done, but the audit can't be written")),
            (Err(error), _) => Err(error),
        }
    }

    /// The same for a change that makes something, which has no name before.
    ///
    /// # Errors
    /// As [`Self::changes`].
    pub async fn makes<T>(
        &self,
        head: &Head,
        about: impl FnOnce(&T) -> About,
        refused: About,
        make: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        match make.await {
            Ok(made) => self.changes(head, about(&made), async { Ok(made) }).await,
            Err(error) => self.changes(head, refused, async { Err(error) }).await,
        }
    }

    /// Of the jobs that are asked for those within reach; none if there can't be any.
    pub fn narrows(&self, filter: JobFilter) -> Option<JobFilter> {
        match (self.access, self.owner()) {
            (Access::All, _) => Some(filter),
            (Access::Own, Some(owner)) if filter.owner.as_deref().is_none_or(|asked| asked == owner) => {
                Some(JobFilter { owner: Some(owner.to_owned()), ..filter })
            }
            (Access::Own | Access::No, _) => None,
        }
    }

    /// Writes into the audit that something was refused, where it was for good.
    pub async fn turns_away(&self, head: &Head, about: About, error: &Error) {
        if error.kind == ErrorKind::Denied
            && let Err(error) = self.note(head, about, Outcome::Refused(error.message.clone())).await
        {
            tracing::warn!(%error, "a refused call can't be written into the audit");
        }
    }

    /// Writes something into the audit; returns once it is durable.
    ///
    /// # Errors
    /// `Exhausted` on a full disk.
    pub async fn note(&self, head: &Head, about: About, outcome: Outcome) -> Result<(), Error> {
        let Some(registrar) = &head.registrar else { return Ok(()) };
        let About { what, reason, request_id } = about;
        let (who, from, method) = (self.principal().cloned(), self.from.clone(), self.method.to_owned());
        registrar.note(Record { at: wall_now(), who, from, method, what, outcome, reason, request_id, omitted: 0 }).await
    }
}

/// Writes into the audit that somebody was turned away before his call was looked at. Of a flood of them only the number is written.
pub async fn note_refusal(head: &Head, caller: &Caller, from: String, method: &str, error: &Error) {
    let Some(registrar) = &head.registrar else { return };
    let record = Record {
        at: wall_now(),
        who: caller.principal().cloned(),
        from,
        method: method.to_owned(),
        what: String::new(),
        outcome: Outcome::Refused(error.message.clone()),
        reason: String::new(),
        request_id: String::new(),
        omitted: 0,
    };
    if let Err(error) = registrar.note(record).await {
        tracing::warn!(%error, "a refused call can't be written into the audit");
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use std::collections::BTreeSet;

    use crate::engine::access::METHODS;
    use crate::rpc::pb;

    /// The methods of a compiled set of proto files, as paths.
    fn methods_of(descriptors: &[u8]) -> BTreeSet<String> {
        let files = prost_types::FileDescriptorSet::decode(descriptors).unwrap().file;
        let services = files.iter().flat_map(|file| file.service.iter().map(move |service| (file.package(), service)));
        let methods = services.flat_map(|(package, service)| {
            service.method.iter().map(move |method| format!("/{package}.{}/{}", service.name(), method.name()))
        });
        methods.collect()
    }

    #[test]
    fn every_method_of_every_service_is_in_the_table_of_who_may_what_and_nothing_else_is() {
        let descriptors = [
            pb::FILE_DESCRIPTOR_SET,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
        ];
        let served: BTreeSet<String> = descriptors.into_iter().flat_map(methods_of).collect();
        let listed: BTreeSet<String> = METHODS.iter().map(|row| row.method.to_owned()).collect();
        assert!(served.len() > 35, "the descriptors are here");
        let missing: Vec<&String> = served.difference(&listed).collect();
        assert!(missing.is_empty(), "give these a row in engine/access.rs: {missing:?}");
        // tonic-health may be of a version that has a method less.
        let unknown: Vec<&String> = listed.difference(&served).filter(|method| *method != "/grpc.health.v1.Health/List").collect();
        assert!(unknown.is_empty(), "rows of methods that are not there: {unknown:?}");
    }
}
