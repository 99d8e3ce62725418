//! The URL table.

use hyper::Method;
use schemas::event::EventKind;
use schemas::problem::{Code, Problem};

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// Takes events.
    Events(Dialect),
    /// What SDKs ask for before they send.
    Settings(SettingsDialect),
    /// A page of `docs/errors`.
    ErrorPage(Code),
}

/// Whose SDKs ask for settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettingsDialect {
    /// Segment's, with the key in the path.
    Segment,
    /// RudderStack's.
    RudderStack,
}

/// What the events of a path are written in, and what their senders take for success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// weir's own.
    Native,
    /// Segment's and RudderStack's; one call of a kind that the path names, or a batch.
    Segment(Option<EventKind>),
    /// PostHog's.
    PostHog,
    /// PostHog's, of those who say who a user is.
    PostHogEngage,
    /// PostHog's, with a reply that names each event.
    PostHogV1,
    /// CloudEvents, as OpenMeter takes them.
    CloudEvents,
}

impl Dialect {
    /// The names of all in metrics, in the order of [`Dialect::place`].
    pub const NAMES: [&'static str; 5] = ["native", "segment", "posthog", "posthog_v1", "cloudevents"];

    /// Its place among the names.
    #[must_use]
    pub fn place(self) -> usize {
        match self {
            Self::Native => 0,
            Self::Segment(_) => 1,
            Self::PostHog | Self::PostHogEngage => 2,
            Self::PostHogV1 => 3,
            Self::CloudEvents => 4,
        }
    }

    /// Its name in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES[self.place()]
    }

    /// Whether SDKs put the key into the body, so that the body must be read before the tenant is known.
    #[must_use]
    pub fn has_key_in_body(self) -> bool {
        match self {
            Self::Segment(_) | Self::PostHog | Self::PostHogEngage => true,
            Self::Native | Self::PostHogV1 | Self::CloudEvents => false,
        }
    }
}

impl Route {
    /// The methods that it takes, as in the header `Allow`.
    #[must_use]
    pub fn methods(self) -> &'static str {
        match self {
            Self::Events(_) => "POST, OPTIONS",
            Self::Settings(_) | Self::ErrorPage(_) => "GET, HEAD, OPTIONS",
        }
    }

    /// Whether it takes that method; `OPTIONS` is answered for every route alike.
    #[must_use]
    pub fn takes(self, method: &Method) -> bool {
        match self {
            Self::Events(_) => method == Method::POST,
            Self::Settings(_) | Self::ErrorPage(_) => method == Method::GET || method == Method::HEAD,
        }
    }
}

/// The route of a path. Slashes too many at the path's end or between host and path are overlooked: SDKs join what
/// customers configure.
///
/// # Errors
/// 404.
pub fn route(path: &str) -> Result<Route, Problem> {
    let path = path.trim_matches('/');
    if let Some(code) = path.strip_prefix("errors/") {
        let code = Code::ALL.iter().find(|known| known.as_str() == code);
        return code.copied().map(Route::ErrorPage).ok_or_else(not_found);
    }
    if let Some(settings) = settings(path) {
        return Ok(Route::Settings(settings));
    }
    let dialect = match path {
        "v1/events" => Dialect::Native,
        "v1/batch" | "v1/import" | "v1/b" | "beacon/v1/batch" => Dialect::Segment(None),
        "v1/track" | "v1/t" => Dialect::Segment(Some(EventKind::Track)),
        "v1/identify" | "v1/i" => Dialect::Segment(Some(EventKind::Identify)),
        "v1/page" | "v1/p" => Dialect::Segment(Some(EventKind::Page)),
        "v1/screen" | "v1/s" => Dialect::Segment(Some(EventKind::Screen)),
        "v1/group" | "v1/g" => Dialect::Segment(Some(EventKind::Group)),
        "v1/alias" | "v1/a" => Dialect::Segment(Some(EventKind::Alias)),
        "batch" | "e" | "i/v0/e" | "capture" | "track" | "i/v0/ai/batch" => Dialect::PostHog,
        "engage" => Dialect::PostHogEngage,
        "i/v1/analytics/events" => Dialect::PostHogV1,
        "api/v1/events" => Dialect::CloudEvents,
        _ => return Err(not_found()),
    };
    Ok(Route::Events(dialect))
}

fn settings(path: &str) -> Option<SettingsDialect> {
    let key = path.strip_prefix("v1/projects/").and_then(|path| path.strip_suffix("/settings"));
    match path {
        "sourceConfig" => Some(SettingsDialect::RudderStack),
        _ => key.filter(|key| !key.contains('/')).map(|_| SettingsDialect::Segment),
    }
}

/// The 405 of a route that does not take the method.
#[must_use]
pub fn method_not_allowed(route: Route) -> Problem {
    Problem::new(Code::MethodNotAllowed, format!("this path takes {}", route.methods()))
}

fn not_found() -> Problem {
    Problem::new(Code::NotFound, "there is nothing here: events go to POST /v1/events")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sdks_reach_their_routes_however_they_join_host_and_path() {
        for (path, dialect) in [
            ("v1/events", Dialect::Native),
            ("v1/batch", Dialect::Segment(None)),
            ("v1/p", Dialect::Segment(Some(EventKind::Page))),
            ("batch", Dialect::PostHog),
            ("e", Dialect::PostHog),
            ("i/v0/e", Dialect::PostHog),
            ("capture", Dialect::PostHog),
            ("engage", Dialect::PostHogEngage),
            ("i/v1/analytics/events", Dialect::PostHogV1),
            ("api/v1/events", Dialect::CloudEvents),
        ] {
            for path in [format!("/{path}"), format!("/{path}/"), format!("//{path}")] {
                assert_eq!(route(&path), Ok(Route::Events(dialect)), "{path}");
            }
        }
    }

    #[test]
    fn sdks_find_their_settings() {
        for (path, settings) in [
            ("/v1/projects/wk_live_x/settings", SettingsDialect::Segment),
            ("//v1/projects/wk_live_x/settings", SettingsDialect::Segment),
            ("/sourceConfig", SettingsDialect::RudderStack),
            ("/sourceConfig/", SettingsDialect::RudderStack),
        ] {
            let found = route(path).unwrap();
            assert_eq!(found, Route::Settings(settings), "{path}");
            assert!(found.takes(&Method::GET) && !found.takes(&Method::POST), "{path}");
        }
    }

    #[test]
    fn replies_to_other_methods_and_paths_say_what_to_do() {
        let events = route("/v1/events").unwrap();
        assert!(events.takes(&Method::POST) && !events.takes(&Method::GET) && !events.takes(&Method::HEAD));
        assert_eq!(method_not_allowed(events).detail, "this path takes POST, OPTIONS");
        let page = route("/errors/quota_exceeded").unwrap();
        assert_eq!(page, Route::ErrorPage(Code::QuotaExceeded));
        assert!(page.takes(&Method::GET) && page.takes(&Method::HEAD) && !page.takes(&Method::POST));
        for path in ["/v2/events", "/errors/no_such_code", "/", "/v1/events/x", "/v1/projects/a/b/settings"] {
            assert_eq!(route(path).unwrap_err().code, Code::NotFound, "{path}");
        }
    }
}
