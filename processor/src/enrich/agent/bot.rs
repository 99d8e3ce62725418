//! Which programs nobody sits before.
//!
//! Wrongly calling people bots is worse than missing a crawler: a word that people's apps have in their names, too,
//! counts only where no app names itself.

use super::{behind, has, places};

/// Words, in lower case, of programs that nobody sits before. `bot` itself is looked for, too.
const BOTS: [&str; 27] = [
    "spider",
    "crawl",
    "slurp",
    "headless",
    "lighthouse",
    "pagespeed",
    "google-inspectiontool",
    "apis-google",
    "mediapartners-google",
    "feedfetcher",
    "facebookexternalhit",
    "meta-externalagent",
    "whatsapp/",
    "bingpreview",
    "ia_archiver",
    "archive.org",
    "pingdom",
    "uptime",
    "statuscake",
    "phantomjs",
    "prerender",
    "embedly",
    "chatgpt-user",
    "claude-user",
    "perplexity-user",
    "cohere-ai",
    "validator",
];

/// Words, in lower case, that programs which pass for a browser on somebody's machine share with people's apps.
/// Programs that claim no machine (`curl`, libraries of servers) are not looked at.
const AMBIGUOUS: [&str; 9] =
    ["agent", "check", "checker", "favicon", "monitor", "preview", "scan", "scanner", "scanning"];

/// What stands in no browser's own text and in no app's name, in lower case.
const DISGUISED: [&str; 31] = [
    // An address to read about it: no browser has one.
    "://",
    "gecko; compatible",
    "imageproxy",
    "linkcheck",
    // Names.
    "appinsights",
    "brandverity",
    "collapsify",
    "cookiehub",
    "criticalcss",
    "dareboost",
    "datadogsynthetics",
    "datanyze",
    "gotsitemonitor",
    "gtmetrix",
    "hardenize",
    "httrack",
    "linktiger",
    "manus-user",
    "monitorss",
    "netshelter",
    "newrelicsynthetics",
    "playstore-google",
    "playwright",
    "ptst/",
    "pwabuilder",
    "securityheaders",
    "selenium",
    "silktide",
    "siteimprove",
    "webcapture",
    "websitepulse",
];

/// Whether a program says that it is a bot, whatever else it claims.
pub(super) fn is_bot(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    BOTS.iter().any(|word| has(&text, word)) || places(&text, "bot").any(|at| is_word_bot(&text, at))
}

/// Whether a program that nobody sits before claims a browser's machine.
pub(super) fn is_disguised(text: &str) -> bool {
    let names_app = names_app(text);
    let text = text.to_ascii_lowercase();
    let called =
        behind(&text, "compatible;").and_then(|rest| rest.split([';', ')']).next()).unwrap_or_default();
    DISGUISED.iter().any(|word| has(&text, word))
        || AMBIGUOUS.iter().any(|word| has(called, word) || (!names_app && has_whole(&text, word)))
}

/// Whether an app names itself in the text: over HTTP libraries (CFNetwork, Dalvik, okhttp), which claim no browser, in
/// the WebViews of Android and Apple's systems, or on Electron.
fn names_app(text: &str) -> bool {
    !has(text, "Mozilla/")
        || has(text, "CFNetwork/")
        || has(text, "; wv)")
        || has(text, "Electron/")
        || (has(text, "AppleWebKit/") && !has(text, "Safari/"))
}

/// Whether a word stands there that is no part of a longer one, as `scan` is of `BarcodeScanner`.
fn has_whole(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    places(text, word).any(|at| {
        let (before, after) = text.split_at(at);
        let after = after.get(word.len()..).unwrap_or_default();
        !before.ends_with(is_part) && !after.starts_with(is_part)
    })
}

/// Whether the `bot` that begins there ends a word, as in `Googlebot/2.1`. Not the phones called Cubot.
fn is_word_bot(text: &str, at: usize) -> bool {
    let (before, after) = text.split_at(at);
    let after = after.get(3..).unwrap_or_default();
    let after = after.strip_prefix('s').unwrap_or(after);
    !before.ends_with("cu") && !after.starts_with(|c: char| c.is_ascii_lowercase())
}
