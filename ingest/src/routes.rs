//! The URL table.

use hyper::Method;
use schemas::event::EventKind;
use schemas::problem::{Code, Problem};

/// Where a request goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// weir's own dialect.
    Native,
    /// Segment's and RudderStack's; one call of a kind that the path names, or a batch.
    Segment(Option<EventKind>),
    /// A page of `docs/errors`.
    ErrorPage(Code),
}

impl Route {
    /// The route's name in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Segment(_) => "segment",
            Self::ErrorPage(_) => "error_page",
        }
    }
}

/// The route of a request. A slash too many at the path's end or between host and path is overlooked: SDKs join
/// what customers configure.
///
/// # Errors
/// 404 or 405.
pub fn route(method: &Method, path: &str) -> Result<Route, Problem> {
    let path = path.trim_matches('/');
    if let Some(code) = path.strip_prefix("errors/") {
        let code = Code::ALL.iter().find(|known| known.as_str() == code).ok_or_else(not_found)?;
        return allow(method, &Method::GET, Route::ErrorPage(*code));
    }
    let route = match path {
        "v1/events" => Route::Native,
        "v1/batch" | "v1/import" | "v1/b" => Route::Segment(None),
        "v1/track" | "v1/t" => Route::Segment(Some(EventKind::Track)),
        "v1/identify" | "v1/i" => Route::Segment(Some(EventKind::Identify)),
        "v1/page" | "v1/p" => Route::Segment(Some(EventKind::Page)),
        "v1/screen" | "v1/s" => Route::Segment(Some(EventKind::Screen)),
        "v1/group" | "v1/g" => Route::Segment(Some(EventKind::Group)),
        "v1/alias" | "v1/a" => Route::Segment(Some(EventKind::Alias)),
        _ => return Err(not_found()),
    };
    allow(method, &Method::POST, route)
}

fn allow(method: &Method, allowed: &Method, route: Route) -> Result<Route, Problem> {
    if method == allowed {
        return Ok(route);
    }
    Err(Problem::new(Code::MethodNotAllowed, format!("this path takes {allowed} only")))
}

fn not_found() -> Problem {
    Problem::new(Code::NotFound, "there is nothing here: events go to POST /v1/events")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sdks_reach_their_routes_however_they_join_host_and_path() {
        for path in ["/v1/batch", "/v1/batch/", "//v1/batch"] {
            assert_eq!(route(&Method::POST, path), Ok(Route::Segment(None)), "{path}");
        }
        assert_eq!(route(&Method::POST, "/v1/p"), Ok(Route::Segment(Some(EventKind::Page))));
    }

    #[test]
    fn other_methods_and_paths_are_told_what_to_do() {
        assert_eq!(route(&Method::GET, "/v1/events").unwrap_err().code, Code::MethodNotAllowed);
        assert_eq!(route(&Method::POST, "/v2/events").unwrap_err().code, Code::NotFound);
        assert_eq!(route(&Method::GET, "/errors/no_such_code").unwrap_err().code, Code::NotFound);
        assert_eq!(route(&Method::GET, "/errors/quota_exceeded"), Ok(Route::ErrorPage(Code::QuotaExceeded)));
    }
}
