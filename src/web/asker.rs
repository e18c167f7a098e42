//! Who has sent a request. Routes and pages do what they do by calling the methods of the gRPC services, in this process, as him: so there is one
//! implementation, one table of who may what, and one audit, however somebody asks.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use http::Extensions;
use http::request::Parts;
use tonic::metadata::MetadataMap;
use tonic::{Response, Status};

use crate::actors::Head;
use crate::domain::{Caller, Error};
use crate::rpc::services::{CameFrom, Who};
use crate::rpc::status::from_status;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Asker {
    /// As the door has found out.
    pub caller: Caller,
    from: Option<CameFrom>,
}

impl Asker {
    /// A message as he would send it.
    pub fn asks<T>(&self, message: T) -> tonic::Request<T> {
        let mut extensions = Extensions::new();
        extensions.insert(self.caller.clone());
        if let Some(from) = self.from {
            extensions.insert(from);
        }
        tonic::Request::from_parts(MetadataMap::new(), extensions, message)
    }
}

impl Asker {
    /// Who he is to a route that is no method.
    ///
    /// # Errors
    /// `Denied`.
    pub async fn who(&self, head: &Head, route: &'static str) -> Result<Who, Error> {
        Who::asks(self.asks(()).extensions(), head, route).await
    }
}

impl<S: Sync> FromRequestParts<S> for Asker {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let caller = parts.extensions.get::<Caller>().cloned().unwrap_or(Caller::Anyone);
        Ok(Self { caller, from: parts.extensions.get::<CameFrom>().copied() })
    }
}

/// What a method has answered.
pub(super) fn answered<T>(answer: Result<Response<T>, Status>) -> Result<T, Error> {
    answer.map(Response::into_inner).map_err(|status| from_status(&status))
}
