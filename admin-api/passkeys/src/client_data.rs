use serde::Deserialize;

use crate::{Base64Url, NotTaken};

/// What the browser says of itself: the bytes that are signed are JSON.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClientData {
    r#type: String,
    challenge: Base64Url,
    origin: String,
    #[serde(default)]
    cross_origin: bool,
    top_origin: Option<String>,
}

/// Looks whether the browser did `what` for that challenge, on a page of `origin` that no other page holds.
pub(crate) fn check(json: &[u8], what: &str, challenge: &[u8], origin: &str) -> Result<(), NotTaken> {
    let data: ClientData =
        serde_json::from_slice(json).map_err(|_| NotTaken::Malformed("the client data is not JSON"))?;
    if data.r#type != what {
        return Err(NotTaken::Type);
    }
    if data.challenge.0 != challenge {
        return Err(NotTaken::Challenge);
    }
    if data.origin != origin || data.cross_origin || data.top_origin.is_some() {
        return Err(NotTaken::Origin);
    }
    Ok(())
}
