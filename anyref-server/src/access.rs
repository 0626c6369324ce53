//! Access control: token, host names and origins.

use std::net::IpAddr;
use std::sync::Arc;

use anyref_api::{Outcome, Problem};
use axum::extract::{Request, State as Shared};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::options::Access;

/// Access rules of a server.
#[derive(Debug)]
pub(crate) struct Rules {
    /// Digest of the token, so that comparing it does not reveal its length.
    token: Option<[u8; 32]>,
    origins: Vec<String>,
    /// Whether the `Host` header must name this machine: otherwise any page could resolve a name of
    /// its own to this server (DNS rebinding).
    local: bool,
}

impl Rules {
    pub(crate) fn new(access: &Access, listening: IpAddr) -> Self {
        Self {
            token: access
                .token
                .as_ref()
                .map(|token| Sha256::digest(token).into()),
            origins: access.origins.clone(),
            local: access.token.is_none() && !access.open && listening.is_loopback(),
        }
    }

    /// Refuses requests under other host names, and from pages of other origins.
    fn check_source(&self, headers: &HeaderMap) -> Outcome<()> {
        let host = headers
            .get(header::HOST)
            .and_then(|host| host.to_str().ok());
        let refused = |code, message: &str| Err(Problem::new(StatusCode::FORBIDDEN, code, message));
        if self.local && !host.is_some_and(names_this_machine) {
            let message = "this server answers under localhost and 127.0.0.1 alone: use one of them, \
                           or start it with --token";
            return refused("host", message);
        }
        let Some(origin) = headers.get(header::ORIGIN) else {
            return Ok(());
        };
        let origin = origin.to_str().unwrap_or_default();
        let own = host.is_some_and(|host| {
            let plain = origin
                .strip_prefix("http://")
                .or(origin.strip_prefix("https://"));
            plain.is_some_and(|plain| plain.eq_ignore_ascii_case(host))
        });
        match own || self.origins.iter().any(|known| known == origin) {
            true => Ok(()),
            false => refused(
                "origin",
                "pages of this origin may not ask: name it with --cors",
            ),
        }
    }

    fn check_token(&self, headers: &HeaderMap) -> Outcome<()> {
        let Some(token) = &self.token else {
            return Ok(());
        };
        let given = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let given = given.and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme
                .eq_ignore_ascii_case("bearer")
                .then_some(token.trim())
        });
        let given: [u8; 32] = Sha256::digest(given.unwrap_or_default()).into();
        match bool::from(token.ct_eq(&given)) {
            true => Ok(()),
            false => Err(Problem::new(
                StatusCode::UNAUTHORIZED,
                "token",
                "this server asks for its token: send Authorization: Bearer TOKEN",
            )),
        }
    }
}

fn names_this_machine(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else {
        return false;
    };
    let name = authority
        .host()
        .trim_start_matches('[')
        .trim_end_matches(']');
    let address = name.parse::<IpAddr>();
    let local = name.eq_ignore_ascii_case("localhost");
    local || address.is_ok_and(|address| address.is_loopback())
}

/// Refuses requests under other host names, and from pages of other origins.
pub(crate) async fn source(
    Shared(rules): Shared<Arc<Rules>>,
    request: Request,
    next: Next,
) -> Response {
    match rules.check_source(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// Refuses requests without the token.
pub(crate) async fn token(
    Shared(rules): Shared<Arc<Rules>>,
    request: Request,
    next: Next,
) -> Response {
    match rules.check_token(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(header::HeaderName, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.clone(), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn other_names_and_pages_are_refused_on_this_machine() {
        let rules = Rules::new(&Access::default(), "127.0.0.1".parse().unwrap());
        let code = |pairs: &[(header::HeaderName, &str)]| {
            rules
                .check_source(&headers(pairs))
                .map_err(|problem| problem.code)
        };
        for host in ["localhost:8787", "127.0.0.1", "[::1]:80", "LOCALHOST"] {
            assert_eq!(code(&[(header::HOST, host)]), Ok(()), "{host}");
        }
        for host in [
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil:80",
            "192.168.0.1",
        ] {
            assert_eq!(code(&[(header::HOST, host)]), Err("host"), "{host}");
        }
        assert_eq!(code(&[]), Err("host"));
        let host = (header::HOST, "localhost:8787");
        let own = (header::ORIGIN, "http://localhost:8787");
        assert_eq!(code(&[host.clone(), own]), Ok(()));
        for origin in ["http://evil.example", "null", "http://localhost:1"] {
            assert_eq!(
                code(&[host.clone(), (header::ORIGIN, origin)]),
                Err("origin"),
                "{origin}"
            );
        }
    }

    #[test]
    fn the_token_is_asked_for() {
        let access = Access {
            token: Some("secret".into()),
            ..Access::default()
        };
        let rules = Rules::new(&access, "0.0.0.0".parse().unwrap());
        let given = |value: &str| rules.check_token(&headers(&[(header::AUTHORIZATION, value)]));
        given("Bearer secret").unwrap();
        given("bearer  secret ").unwrap();
        for wrong in [
            "Bearer secre",
            "Bearer secrets",
            "Basic secret",
            "secret",
            "",
        ] {
            assert_eq!(
                given(wrong).unwrap_err().status,
                StatusCode::UNAUTHORIZED,
                "{wrong}"
            );
        }
        assert!(rules.check_token(&HeaderMap::new()).is_err());
        // Host names are not checked then.
        rules
            .check_source(&headers(&[(header::HOST, "example.org")]))
            .unwrap();
    }
}
