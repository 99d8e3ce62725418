//! Where a request comes from, and what a person is shown of it.

use std::net::IpAddr;

use uuid::Uuid;

use crate::caller::{Actor, Caller};
use crate::expected::Expected;

/// What stands in audit and session of a client that says nothing of itself, or too much.
const USER_AGENT_BYTES_MAX: usize = 512;

/// Where a request comes from.
#[derive(Debug, Clone, Default)]
pub struct Client {
    /// The address.
    pub address: Option<IpAddr>,
    /// What the client calls itself.
    pub user_agent: String,
    /// What the cookie of a device holds that somebody signed in on.
    pub device: Option<String>,
    /// The id of the request.
    pub request_id: Option<Uuid>,
    /// What the resource that is to be changed has to be like.
    pub expected: Option<Expected>,
}

impl Client {
    pub(crate) fn caller(&self, actor: Actor) -> Caller {
        Caller { actor, address: self.address, request_id: self.request_id }
    }

    /// The same for a transaction that changes nothing of what the client expects something of.
    pub(crate) fn without_condition(&self) -> Self {
        Self { expected: None, ..self.clone() }
    }

    /// Where attempts are counted by: an IPv4 address, or the network of an IPv6 one, of which anybody has many.
    pub(crate) fn source(&self) -> Option<String> {
        Some(match self.address?.to_canonical() {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
            }
        })
    }

    pub(crate) fn shown_user_agent(&self) -> String {
        let end = self.user_agent.floor_char_boundary(USER_AGENT_BYTES_MAX);
        self.user_agent[..end].chars().filter(|c| !c.is_control()).collect()
    }

    /// As [`device_name`] of its user agent.
    pub(crate) fn device_name(&self) -> String {
        device_name(&self.shown_user_agent())
    }
}

/// Tokens of browsers, the rarer first: they name each other's.
const BROWSERS: [(&str, &str); 9] = [
    ("Edg/", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Vivaldi/", "Vivaldi"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
];
const SYSTEMS: [(&str, &str); 7] = [
    ("iPhone", "an iPhone"),
    ("iPad", "an iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Mac OS X", "a Mac"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
];

/// What people call the device: `Firefox on Linux`. Of other programs the name that they give themselves.
pub(crate) fn device_name(user_agent: &str) -> String {
    let named = |names: &[(&str, &'static str)]| {
        names.iter().find(|(token, _)| user_agent.contains(token)).map(|(_, name)| *name)
    };
    match (named(&BROWSERS), named(&SYSTEMS)) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(name), None) => name.to_owned(),
        (None, _) => {
            let program = user_agent.split(['/', ' ']).next().unwrap_or_default();
            if program.is_empty() {
                "an unknown device".to_owned()
            } else {
                program.chars().take(40).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_has_a_name_that_people_know() {
        for (agent, name) in [
            ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                 Version/18.5 Safari/605.1.15",
                "Safari on a Mac",
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
                 Chrome/138.0.0.0 Safari/537.36 Edg/138.0.0.0",
                "Edge on Windows",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                 CriOS/138.0 Mobile/15E148 Safari/604.1",
                "Chrome on an iPhone",
            ),
            ("curl/8.14.1", "curl"),
            ("", "an unknown device"),
        ] {
            assert_eq!(device_name(agent), name);
        }
    }

    #[test]
    fn a_user_agent_is_cut_between_letters_and_holds_no_control_characters() {
        let client = Client { user_agent: format!("{}é\n", "x".repeat(511)), ..Client::default() };
        assert_eq!(client.shown_user_agent(), "x".repeat(511));
        let client = Client { user_agent: "a\r\nb".to_owned(), ..Client::default() };
        assert_eq!(client.shown_user_agent(), "ab");
    }
}
