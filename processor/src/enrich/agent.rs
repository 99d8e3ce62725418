//! What a `User-Agent` says: browser, operating system, kind of device.
//!
//! Tables of tokens, looked at in their order: browsers name each other's tokens, so the rarer stand first. Names are
//! those that users of analytics know. A change of what any text gives is a new [`VERSION`](super::VERSION).

mod bot;

use std::collections::HashMap;

use memchr::memchr_iter;
use schemas::limit::USER_AGENT_BYTES_MAX;

/// What a user agent says; empty, or 0, where it says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Agent {
    pub(super) browser: &'static str,
    /// Its major version.
    pub(super) browser_version: u16,
    pub(super) os: &'static str,
    /// Two numbers at most, as in `17.4`, or a name, as in `XP`.
    pub(super) os_version: String,
    pub(super) device: &'static str,
}

const UNKNOWN: &Agent =
    &Agent { browser: "", browser_version: 0, os: "", os_version: String::new(), device: "" };

/// The user agents of a batch, each read once.
#[derive(Debug, Default)]
pub(super) struct Agents {
    read: Vec<(Box<str>, Agent)>,
    places: HashMap<Box<str>, usize>,
    last: usize,
}

impl Agents {
    /// What that text says; of a longer one, what its first 512 bytes say.
    pub(super) fn find(&mut self, text: &str) -> &Agent {
        let text = text.get(..text.floor_char_boundary(USER_AGENT_BYTES_MAX)).unwrap_or_default();
        // Events of one request follow each other.
        if self.read.get(self.last).is_none_or(|(last, _)| **last != *text) {
            self.last = match self.places.get(text) {
                Some(place) => *place,
                None => self.learn(text),
            };
        }
        self.read.get(self.last).map_or(UNKNOWN, |(_, agent)| agent)
    }

    fn learn(&mut self, text: &str) -> usize {
        let place = self.read.len();
        self.read.push((text.into(), agent(text)));
        self.places.insert(text.into(), place);
        place
    }
}

/// A browser, known by its `token`; its version stands behind `version`.
struct Browser {
    token: &'static str,
    version: &'static str,
    name: &'static str,
}

const fn browser(token: &'static str, name: &'static str) -> Browser {
    Browser { token, version: token, name }
}

const fn versioned(token: &'static str, version: &'static str, name: &'static str) -> Browser {
    Browser { token, version, name }
}

const BROWSERS: [Browser; 37] = [
    browser("Edg/", "Microsoft Edge"),
    browser("EdgA/", "Microsoft Edge"),
    browser("EdgiOS/", "Microsoft Edge"),
    browser("Edge/", "Microsoft Edge"),
    browser("OPR/", "Opera"),
    browser("OPT/", "Opera"),
    browser("OPiOS/", "Opera"),
    browser("Opera Mini/", "Opera Mini"),
    versioned("Opera/", "Version/", "Opera"),
    browser("SamsungBrowser/", "Samsung Internet"),
    browser("YaBrowser/", "Yandex"),
    browser("Vivaldi/", "Vivaldi"),
    browser("UCBrowser/", "UC Browser"),
    browser("Whale/", "Whale"),
    browser("HuaweiBrowser/", "Huawei Browser"),
    browser("MiuiBrowser/", "MIUI Browser"),
    browser("DuckDuckGo/", "DuckDuckGo"),
    browser("Ddg/", "DuckDuckGo"),
    browser("Silk/", "Amazon Silk"),
    versioned("FBAN/", "FBAV/", "Facebook"),
    browser("FBAV/", "Facebook"),
    browser("Instagram ", "Instagram"),
    browser("GSA/", "Google Search App"),
    browser("Electron/", "Electron"),
    browser("CriOS/", "Chrome iOS"),
    browser("FxiOS/", "Firefox iOS"),
    browser("Focus/", "Firefox Focus"),
    browser("Firefox/", "Firefox"),
    versioned("; wv)", "Chrome/", "Android WebView"),
    browser("Chromium/", "Chromium"),
    browser("Chrome/", "Chrome"),
    browser("MSIE ", "Internet Explorer"),
    versioned("Trident/", "rv:", "Internet Explorer"),
    browser("IEMobile/", "Internet Explorer"),
    versioned("Konqueror/", "Konqueror/", "Konqueror"),
    browser("SeaMonkey/", "SeaMonkey"),
    browser("Lynx/", "Lynx"),
];

/// An operating system, known by its `token`, behind which its version stands.
const SYSTEMS: [(&str, &str); 19] = [
    ("Windows Phone ", "Windows Phone"),
    ("Windows NT ", "Windows"),
    ("Windows", "Windows"),
    ("CrOS", "Chrome OS"),
    ("iPhone OS ", "iOS"),
    ("CPU OS ", "iOS"),
    ("iPhone", "iOS"),
    ("iPad", "iOS"),
    ("OpenHarmony ", "HarmonyOS"),
    ("HarmonyOS", "HarmonyOS"),
    ("KAIOS/", "KaiOS"),
    ("Tizen ", "Tizen"),
    ("Android ", "Android"),
    ("Android", "Android"),
    ("Mac OS X ", "Mac OS X"),
    ("Macintosh", "Mac OS X"),
    ("FreeBSD", "FreeBSD"),
    ("OpenBSD", "OpenBSD"),
    ("Linux", "Linux"),
];

/// What Windows calls itself, by the number that browsers send. 11 says 10.
const WINDOWS: [(&str, &str); 7] = [
    ("10.0", "10"),
    ("6.3", "8.1"),
    ("6.2", "8"),
    ("6.1", "7"),
    ("6.0", "Vista"),
    ("5.2", "XP"),
    ("5.1", "XP"),
];

/// The iOS that a version of its kernel, Darwin, belongs to: both are counted by the year.
const DARWINS: [(&str, &str); 13] = [
    ("13", "7"),
    ("14", "8"),
    ("15", "9"),
    ("16", "10"),
    ("17", "11"),
    ("18", "12"),
    ("19", "13"),
    ("20", "14"),
    ("21", "15"),
    ("22", "16"),
    ("23", "17"),
    ("24", "18"),
    ("25", "26"),
];

/// Screens and boxes that are neither desk nor hand.
const OTHERS: [&str; 14] = [
    "SMART-TV",
    "SmartTV",
    "Smart-TV",
    "AppleTV",
    "Apple TV",
    "GoogleTV",
    "Android TV",
    "BRAVIA",
    "Web0S",
    "HbbTV",
    "CrKey",
    "PlayStation",
    "Xbox",
    "Nintendo",
];

/// Reads a user agent. One that calls itself a bot is believed that and nothing else.
pub(super) fn agent(text: &str) -> Agent {
    if text.is_empty() {
        return Agent::default();
    }
    if bot::is_bot(text) {
        return Agent { device: "bot", ..Agent::default() };
    }
    let (os, os_version) = system(text);
    let device = device(text, os);
    if device != "other" && bot::is_disguised(text) {
        return Agent { device: "bot", ..Agent::default() };
    }
    let (browser, browser_version) = browser_of(text, os);
    Agent { browser, browser_version, os, os_version, device }
}

fn system(text: &str) -> (&'static str, String) {
    // Internet Explorer on phones claims Android and iOS as well.
    let found = SYSTEMS.iter().find_map(|(token, name)| behind(text, token).map(|rest| (*name, rest)));
    let Some((name, rest)) = found else { return darwin(text).unwrap_or_default() };
    let version = match name {
        "Linux" | "FreeBSD" | "OpenBSD" => String::new(),
        // After the processor's name.
        "Chrome OS" => two_numbers(rest.trim_start().split_once(' ').map_or("", |(_, rest)| rest)),
        "Windows" => {
            let number = two_numbers(rest);
            WINDOWS.iter().find(|(known, _)| *known == number).map_or(number, |(_, name)| (*name).to_owned())
        }
        _ => two_numbers(rest),
    };
    (name, version)
}

/// What an app of Apple's systems runs on, if it says no more than its library and its kernel. On a Mac with Intel's
/// processor it names that; an app of a younger Mac can't be distinguished from one of iOS.
fn darwin(text: &str) -> Option<(&'static str, String)> {
    let kernel = behind(text, "Darwin/").filter(|_| has(text, "CFNetwork/"))?;
    if has(text, "(x86_64)") {
        return Some(("Mac OS X", String::new()));
    }
    let version =
        DARWINS.iter().find(|(known, _)| *known == digits(kernel)).map_or("", |(_, version)| version);
    Some(("iOS", version.to_owned()))
}

fn browser_of(text: &str, os: &str) -> (&'static str, u16) {
    let known = BROWSERS.iter().find(|browser| has(text, browser.token));
    if let Some(Browser { version, name, .. }) = known {
        return (name, behind(text, version).map_or(0, number));
    }
    let is_webkit = has(text, "AppleWebKit/");
    let version = behind(text, "Version/").map(number);
    match (version, os) {
        (Some(version), "Android") if is_webkit => ("Android Browser", version),
        (Some(version), "iOS") if is_webkit => ("Mobile Safari", version),
        (Some(version), _) if has(text, "Safari/") => ("Safari", version),
        (None, "iOS") if is_webkit => ("iOS WebView", 0),
        _ => ("", 0),
    }
}

fn device(text: &str, os: &str) -> &'static str {
    let is_tablet =
        has(text, "iPad") || (has(text, "Tablet") && !has(text, "Tablet PC")) || has(text, "PlayBook");
    let is_mobile =
        has(text, "Mobile") || has(text, "iPhone") || has(text, "iPod") || has(text, "Opera Mini/");
    match os {
        _ if OTHERS.iter().any(|token| has(text, token)) => "other",
        _ if is_tablet => "tablet",
        _ if is_mobile => "mobile",
        // Browsers of tablets leave out the word Mobile; apps of phones do, too.
        "Android" if has(text, "Mozilla/") => "tablet",
        "Android" | "iOS" | "Windows Phone" | "KaiOS" | "HarmonyOS" => "mobile",
        "Windows" | "Mac OS X" | "Linux" | "Chrome OS" | "FreeBSD" | "OpenBSD" => "desktop",
        _ => "other",
    }
}

fn has(text: &str, token: &str) -> bool {
    places(text, token).next().is_some()
}

fn behind<'a>(text: &'a str, token: &str) -> Option<&'a str> {
    places(text, token).next().and_then(|at| text.get(at + token.len()..))
}

/// Where a token stands. In so short a text this is cheaper than a search that prepares itself.
fn places<'a>(text: &'a str, token: &'a str) -> impl Iterator<Item = usize> + 'a {
    let (text, token) = (text.as_bytes(), token.as_bytes());
    let begins = token.first().map(|first| memchr_iter(*first, text));
    begins.into_iter().flatten().filter(move |at| text.get(*at..).is_some_and(|rest| rest.starts_with(token)))
}

/// The number that a text begins with; 0 if it begins with none, or with one that no browser has reached.
fn number(text: &str) -> u16 {
    digits(text).parse().unwrap_or(0)
}

fn digits(text: &str) -> &str {
    let end = text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

/// The first two numbers of a version, with a dot between: iOS and macOS have underscores.
fn two_numbers(text: &str) -> String {
    const DIGITS_MAX: usize = 8;
    let text = text.trim_start_matches([' ', '/']);
    let first = digits(text);
    let rest = text.get(first.len()..).unwrap_or_default();
    let second = rest.strip_prefix(['.', '_']).map(digits).unwrap_or_default();
    match (first.len(), second.len()) {
        (1..=DIGITS_MAX, 1..=DIGITS_MAX) => format!("{first}.{second}"),
        (1..=DIGITS_MAX, _) => first.to_owned(),
        _ => String::new(),
    }
}
