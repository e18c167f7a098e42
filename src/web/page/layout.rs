//! What every page has: the head of the document, the way to the others, who looks at it; and the page of an error.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use maud::{DOCTYPE, Markup, html};

use crate::domain::{Caller, Error};
use crate::engine::access;
use crate::rpc::http::status_of;

use super::assets::ADDRESSES;
use crate::web::asker::Asker;
use crate::web::routes::Web;

/// Nothing from elsewhere, no script in the page itself, in no frame of another's.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; \
                      base-uri 'none'; frame-ancestors 'none'";

/// The ways from each page to the others.
const PLACES: [(&str, &str); 7] = [
    ("/", "Jobs"),
    ("/new", "New job"),
    ("/order", "Order"),
    ("/workers", "Workers"),
    ("/timeline", "Timeline"),
    ("/data", "Data"),
    ("/system", "System"),
];

/// A page before it is put together.
pub(super) struct Page {
    /// Of the window.
    pub title: String,
    /// Where it stands among the others.
    pub place: &'static str,
    /// Where what is live on it comes from.
    pub live: Option<String>,
    /// What is live, or all there is.
    pub content: Markup,
}

impl Page {
    /// The document.
    pub fn response(self, web: &Web, asker: &Asker) -> Response {
        let Self { title, place, live, content } = self;
        let [css, js, new_job_js, icon] = &*ADDRESSES;
        let text = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    title { (title) " · Millpond" }
                    link rel="stylesheet" href=(css);
                    link rel="icon" type="image/svg+xml" href=(icon);
                    script src=(js) defer {}
                    @if place == "/new" { script src=(new_job_js) defer {} }
                }
                body data-now=(format!("{:.3}", jiff::Timestamp::now())) {
                    a.skip href="#content" { "to the content" }
                    header {
                        a.name href="/" { "Millpond" }
                        nav aria-label="pages" {
                            @for (path, name) in PLACES {
                                a href=(path) aria-current=[(path == place).then_some("page")] { (name) }
                            }
                        }
                        (who(web, asker))
                    }
                    main #content {
                        p #stale .stale role="status" hidden { "The head does not answer; what you see may be old. Trying again …" }
                        @match live {
                            Some(live) => div #live data-live=(live) { (content) },
                            None => (content),
                        }
                    }
                    (ask())
                    div #notices aria-live="polite" {}
                    noscript { p.stale { "Without JavaScript this page shows how things were when it was made, and can't change them." } }
                }
            }
        };
        html_response(StatusCode::OK, text)
    }
}

fn who(web: &Web, asker: &Asker) -> Markup {
    html! {
        span.who {
            @match (&asker.caller, &web.head.registrar) {
                (Caller::Known(principal), _) => {
                    span { (principal.name) " (" (principal.role.name()) ")" }
                    button #logout type="button" { "Log out" }
                }
                (Caller::Anyone, None) => "open to this machine",
                (Caller::Anyone, Some(_)) => a href="/login" { "Log in" },
            }
        }
    }
}

/// Where a person is asked before something is done.
fn ask() -> Markup {
    html! {
        dialog #ask aria-labelledby="ask-title" {
            form method="dialog" {
                h2 #ask-title {}
                p #ask-preview role="status" {}
                div #ask-fields {}
                div.verbs {
                    button.main type="submit" {}
                    button type="button" data-close="" { "Cancel" }
                }
            }
        }
    }
}

/// Whether whoever asks may call a method: where not, a page does not offer it.
pub(super) fn may(web: &Web, asker: &Asker, method: &str) -> bool {
    access::decide(method, &asker.caller, web.head.registrar.is_some()).is_ok()
}

/// Whether whoever asks has to log in first.
pub(super) fn is_stranger(web: &Web, asker: &Asker) -> bool {
    asker.caller == Caller::Anyone && web.head.registrar.is_some()
}

/// The way to the login, and back.
pub(super) fn to_login(address: &str) -> Response {
    let to = form_urlencoded::Serializer::new(String::new()).append_pair("to", address).finish();
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    if let Ok(to) = HeaderValue::from_str(&format!("/login?{to}")) {
        response.headers_mut().insert(header::LOCATION, to);
    }
    response
}

/// What is shown where there is no page.
pub(super) fn refusal(web: &Web, asker: &Asker, error: &Error) -> Response {
    let content = html! {
        h1 { "This does not work" }
        p { (error.message) }
        p { a href="/" { "To the jobs" } }
    };
    let mut response = Page { title: "Error".into(), place: "", live: None, content }.response(web, asker);
    *response.status_mut() = status_of(error.kind);
    response
}

fn html_response(status: StatusCode, text: Markup) -> Response {
    let mut response = Response::new(Body::from(text.into_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
