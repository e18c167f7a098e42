//! The style and the script: parts of the program, named by their content so that a browser may keep them.

use std::sync::LazyLock;

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, header};

use crate::pki::digest_of;

const CSS: &str = include_str!("app.css");
const JS: &str = include_str!("app.js");
/// Of the page of a new job alone.
const NEW_JOB_JS: &str = include_str!("new_job.js");

/// The addresses of all, in the order of style, script, the script of a new job, and the icon. What is behind another one is another version.
pub(super) static ADDRESSES: LazyLock<[String; 4]> = LazyLock::new(|| {
    [("/assets/app.css", CSS), ("/assets/app.js", JS), ("/assets/new_job.js", NEW_JOB_JS), ("/assets/icon.svg", ICON)].map(
        |(path, text)| {
            let digest = digest_of(text.as_bytes()).to_string();
            format!("{path}?{}", digest.get(..12).unwrap_or_default())
        },
    )
});

pub(super) async fn css() -> Response {
    asset(CSS, "text/css; charset=utf-8")
}

/// A wheel in a stream.
const ICON: &str = r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><circle cx="8" cy="7" r="5" fill="none" stroke="#0b5f7a" stroke-width="1.6"/><path d="M8 1v12M2 7h12M3.8 2.8l8.4 8.4M12.2 2.8l-8.4 8.4" stroke="#0b5f7a"/><path d="M0 14q2-2 4 0t4 0 4 0 4 0" fill="none" stroke="#1769aa" stroke-width="1.6"/></svg>"##;

pub(super) async fn icon() -> Response {
    asset(ICON, "image/svg+xml")
}

pub(super) async fn js() -> Response {
    asset(JS, "text/javascript; charset=utf-8")
}

pub(super) async fn new_job_js() -> Response {
    asset(NEW_JOB_JS, "text/javascript; charset=utf-8")
}

fn asset(text: &'static str, kind: &'static str) -> Response {
    let mut response = Response::new(Body::from(text));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
