//! What only browsers bring: the cookie of a session, and requests that a page of another site has made them send.
//!
//! A browser adds who it is logged in as to whatever a page asks for, and reaches what only its own machine can reach. So what comes from another
//! site's page is refused: by what the browser says of it (`Sec-Fetch-Site`, `Origin`), and, on a head that lets in everybody, by the name that
//! it was asked for, since a stranger's name may have been made to lead here (DNS rebinding).

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, Method, Uri, header};

use crate::domain::Error;

/// Of the session. The prefix has browsers keep it for this host alone, and for encrypted connections.
pub const SESSION_COOKIE: &str = "__Host-millpond";

/// The session's text in a request, if there is one.
pub fn session_in(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|cookies| cookies.to_str().ok());
    cookies.flat_map(|cookies| cookies.split(';')).find_map(|cookie| cookie.trim().strip_prefix(SESSION_COOKIE)?.strip_prefix('='))
}

/// Whether this head was meant, and not by another site's page. `names`: what this head may be called where it can't show a certificate; none
/// where it can.
///
/// # Errors
/// `Denied`.
pub(super) fn check_site(method: &Method, uri: &Uri, headers: &HeaderMap, names: Option<&[String]>) -> Result<(), Error> {
    let text = |name: &HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let asked = uri.authority().map(|authority| authority.as_str()).or(text(&header::HOST)).unwrap_or_default();
    if let Some(names) = names
        && !is_own(host_of(asked), names)
    {
        let name = host_of(asked);
        return Err(Error::denied(format!(
            "this head was asked for as `{name}`, which may be a stranger's name for it: use its address, or start it with --name {name}"
        )));
    }
    // A link may be followed from anywhere.
    let follows_link = method == Method::GET && text(&FETCH_MODE) == Some("navigate");
    let site = text(&FETCH_SITE).unwrap_or("none");
    if !matches!(site, "same-origin" | "none") && !follows_link {
        return Err(Error::denied("a page of another site has asked for this: open the head's own page"));
    }
    match text(&header::ORIGIN) {
        Some(origin) if !is_same(origin, asked) => Err(Error::denied(format!(
            "a page of {origin} has asked `{asked}` for this: open the head's own page; a proxy between has to pass the header Host on"
        ))),
        _ => Ok(()),
    }
}

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

fn is_same(origin: &str, asked: &str) -> bool {
    origin.split_once("://").is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(asked))
}

/// `lab` of `lab:7663`, `::1` of `[::1]:7663`.
fn host_of(authority: &str) -> &str {
    match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.rsplit_once(':').map_or(authority, |(host, _)| host),
    }
}

/// An address, this machine's own names, a name without a dot (which nobody can register), or one that it was told.
fn is_own(host: &str, names: &[String]) -> bool {
    host.parse::<IpAddr>().is_ok()
        || !host.contains('.')
        || host.ends_with(".localhost")
        || names.iter().any(|name| name.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: Method, text: &[(&str, &str)], names: Option<&[String]>) -> Result<(), String> {
        let mut headers = HeaderMap::new();
        for (name, value) in text {
            headers.append(HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        check_site(&method, &Uri::from_static("/v1/jobs"), &headers, names).map_err(|error| error.message)
    }

    #[test]
    fn what_another_site_asks_for_is_refused_and_its_links_are_followed() {
        let host = ("host", "lab:7663");
        for (what, is_fine) in [
            (vec![host], true),
            (vec![host, ("sec-fetch-site", "same-origin"), ("origin", "https://lab:7663")], true),
            (vec![host, ("sec-fetch-site", "none"), ("sec-fetch-mode", "navigate")], true),
            (vec![host, ("origin", "https://LAB:7663")], true),
            (vec![host, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")], false),
            (vec![host, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("origin", "https://evil.example")], false),
            (vec![host, ("sec-fetch-site", "same-site"), ("sec-fetch-mode", "cors")], false),
            (vec![host, ("sec-fetch-site", "a\u{80}")], false),
            (vec![host, ("origin", "https://evil.example")], false),
            (vec![host, ("origin", "https://lab:7664")], false),
            (vec![host, ("origin", "null")], false),
            (vec![("origin", "https://lab:7663")], false),
        ] {
            for method in [Method::POST, Method::PUT, Method::DELETE] {
                assert_eq!(check(method, &what, None).is_ok(), is_fine, "{what:?}");
            }
        }
        let link = [host, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")];
        assert!(check(Method::GET, &link, None).is_ok() && check(Method::POST, &link, None).is_err());
        let message = check(Method::POST, &[host, ("origin", "https://evil.example")], None).unwrap_err();
        assert!(message.starts_with("a page of https://evil.example has asked `lab:7663`"), "{message}");
    }

    #[test]
    fn a_head_that_everybody_may_enter_answers_to_its_own_names() {
        let names = ["head.lab.example".to_owned()];
        for (host, is_fine) in [
            ("127.0.0.1:7663", true),
            ("[::1]:7663", true),
            ("10.0.0.7", true),
            ("localhost:7663", true),
            ("a.localhost:7663", true),
            ("head:7663", true),
            ("HEAD.lab.example:7663", true),
            ("evil.example:7663", false),
            ("evil.example", false),
            ("127.0.0.1.evil.example:7663", false),
        ] {
            assert_eq!(check(Method::GET, &[("host", host)], Some(&names)).is_ok(), is_fine, "{host}");
            assert!(check(Method::GET, &[("host", host)], None).is_ok());
        }
    }

    #[test]
    fn a_session_is_found_among_other_cookies() {
        let mut headers = HeaderMap::new();
        assert_eq!(session_in(&headers), None);
        headers.append(header::COOKIE, "a=b; __Host-millpondx=no".parse().unwrap());
        assert_eq!(session_in(&headers), None);
        headers.append(header::COOKIE, "c=d;__Host-millpond=p1.2.x; e=f".parse().unwrap());
        assert_eq!(session_in(&headers), Some("p1.2.x"));
    }
}
