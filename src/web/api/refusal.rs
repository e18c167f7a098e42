//! Why a route does not do what it is asked for.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

use crate::domain::Error;
use crate::rpc::http::{error_response, error_response_as};

/// What a handler gives.
pub(in crate::web) type Answer = Result<Response, Refusal>;

/// An error, with a status where the one of its kind says too little.
#[derive(Debug)]
pub(in crate::web) struct Refusal {
    error: Error,
    status: Option<StatusCode>,
}

impl Refusal {
    /// Of one who has shown nothing: he could be let in if he did.
    pub(super) fn of_nobody(error: Error) -> Self {
        Self { error, status: Some(StatusCode::UNAUTHORIZED) }
    }

    /// With a status of HTTP's own.
    pub(super) fn with(status: StatusCode, message: impl Into<String>) -> Self {
        Self { error: Error::invalid(message), status: Some(status) }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self { error, status: None }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Some(status) = self.status else { return error_response(&self.error) };
        let mut response = error_response_as(status, &self.error);
        if status == StatusCode::UNAUTHORIZED {
            // No scheme that is registered stands for a certificate in the handshake.
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Certificate realm=\"millpond\""));
        }
        response
    }
}
