use sha2::{Digest, Sha256};

use crate::authenticator_data::{AuthenticatorData, UserVerification};
use crate::cbor::Value;
use crate::client_data;
use crate::cose::PublicKey;
use crate::forms::{Account, Party};
use crate::{Assertion, Base64Url, CreationOptions, Descriptor, NewCredential, NotTaken, RequestOptions};

/// What people see of this site when a passkey is made.
const NAME: &str = "weir";
/// Bytes of a passkey's id at most (section 4).
const CREDENTIAL_ID_BYTES_MAX: usize = 1023;
/// Ways to reach an authenticator that are kept at most, and letters of each: hints for the browser alone.
const TRANSPORTS_MAX: usize = 8;
const TRANSPORT_BYTES_MAX: usize = 20;

/// A site whose passkeys these are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelyingParty {
    id: String,
    origin: String,
}

/// Whose passkey is to be made.
#[derive(Debug, Clone)]
pub struct User<'a> {
    /// What the authenticator knows the person by: no address and no name.
    pub handle: &'a [u8],
    /// What distinguishes the person's accounts.
    pub name: &'a str,
    /// What the person is called.
    pub display_name: &'a str,
}

/// A passkey that was just made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// Its id, which the authenticator chose.
    pub credential_id: Vec<u8>,
    /// The public half, as COSE has it: for [`StoredKey`].
    pub public_key: Vec<u8>,
    /// How often it has signed; 0: it may not count.
    pub sign_count: u32,
    /// Whether it is kept in more than one place.
    pub is_backed_up: bool,
    /// How the authenticator may be reached.
    pub transports: Vec<String>,
}

/// What was kept of a passkey.
#[derive(Debug, Clone, Copy)]
pub struct StoredKey<'a> {
    /// The public half.
    pub public_key: &'a [u8],
    /// How often it had signed.
    pub sign_count: u32,
}

/// What a good signature says besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Authenticated {
    /// How often the passkey has signed; 0: it does not count.
    pub sign_count: u32,
    /// Whether the authenticator found out who touched it.
    pub is_verified: bool,
    /// Whether the passkey is kept in more than one place.
    pub is_backed_up: bool,
}

impl RelyingParty {
    /// The site that people reach under that URL. `None`: browsers make no passkeys there. They ask for HTTPS and a
    /// name in place of an address, except on `localhost`.
    #[must_use]
    pub fn of_url(url: &str) -> Option<Self> {
        let url = url.to_ascii_lowercase();
        let (scheme, rest) = url.split_once("://")?;
        let authority = rest.split(['/', '?', '#']).next()?;
        let (host, port) = authority.rsplit_once(':').unwrap_or((authority, ""));
        let is_name = host
            .split('.')
            .all(|label| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'))
            && host.bytes().any(|b| b.is_ascii_alphabetic());
        let is_port = port.bytes().all(|b| b.is_ascii_digit());
        let is_local = host == "localhost" || host.ends_with(".localhost");
        if !is_name || !is_port || !(scheme == "https" || scheme == "http" && is_local) {
            return None;
        }
        let is_default = matches!((scheme, port), (_, "") | ("https", "443") | ("http", "80"));
        let port = if is_default { String::new() } else { format!(":{port}") };
        Some(Self { id: host.to_owned(), origin: format!("{scheme}://{host}{port}") })
    }

    /// What a browser is asked for to make a passkey. One that has a key of `exclude` makes no other.
    #[must_use]
    pub fn creation_options(
        &self,
        challenge: &[u8],
        user: &User<'_>,
        exclude: Vec<Descriptor>,
    ) -> CreationOptions {
        let account = Account {
            id: Base64Url(user.handle.to_vec()),
            name: user.name.to_owned(),
            display_name: user.display_name.to_owned(),
        };
        let party = Party { id: self.id.clone(), name: NAME.to_owned() };
        CreationOptions::new(party, account, challenge, exclude)
    }

    /// What a browser is asked for to sign in, with one of `allow`, or with any that it has for this site.
    #[must_use]
    pub fn request_options(
        &self,
        challenge: &[u8],
        allow: Vec<Descriptor>,
        verification: UserVerification,
    ) -> RequestOptions {
        RequestOptions::new(&self.id, challenge, allow, verification)
    }

    /// A passkey that was made for `challenge`.
    ///
    /// # Errors
    /// [`NotTaken`].
    pub fn register(&self, challenge: &[u8], made: &NewCredential) -> Result<Registered, NotTaken> {
        let response = &made.response;
        client_data::check(&response.client_data_json.0, "webauthn.create", challenge, &self.origin)?;
        let (object, rest) = Value::read(&response.attestation_object.0)?;
        if !rest.is_empty() {
            return Err(NotTaken::Malformed("something follows the attestation object"));
        }
        let data = object.get(&Value::Text("authData")).and_then(Value::bytes);
        let data = AuthenticatorData::read(data.ok_or(NotTaken::Malformed("there is no authData"))?)?;
        data.check(&self.id, UserVerification::Preferred)?;
        let key = data.key.as_ref().ok_or(NotTaken::Key)?;
        PublicKey::read(&key.public_key)?;
        if !(1..=CREDENTIAL_ID_BYTES_MAX).contains(&key.credential_id.len()) {
            return Err(NotTaken::Malformed("the credential's id is too long, or empty"));
        }
        let known = |transport: &&String| transport.len() <= TRANSPORT_BYTES_MAX && transport.is_ascii();
        Ok(Registered {
            credential_id: key.credential_id.to_vec(),
            public_key: key.public_key_bytes.to_vec(),
            sign_count: data.sign_count,
            is_backed_up: data.is_backed_up(),
            transports: response.transports.iter().filter(known).take(TRANSPORTS_MAX).cloned().collect(),
        })
    }

    /// Whether `shown` is a signature of that passkey for `challenge`.
    ///
    /// # Errors
    /// [`NotTaken`].
    pub fn authenticate(
        &self,
        challenge: &[u8],
        key: StoredKey<'_>,
        shown: &Assertion,
        verification: UserVerification,
    ) -> Result<Authenticated, NotTaken> {
        let response = &shown.response;
        let (client_data, data_bytes) = (&response.client_data_json.0, &response.authenticator_data.0);
        client_data::check(client_data, "webauthn.get", challenge, &self.origin)?;
        let data = AuthenticatorData::read(data_bytes)?;
        data.check(&self.id, verification)?;
        let public_key = PublicKey::read(&Value::read(key.public_key)?.0)?;
        let signed = [data_bytes.as_slice(), Sha256::digest(client_data).as_slice()].concat();
        public_key.verify(&signed, &response.signature.0)?;
        // One that does not count says 0 always.
        if (data.sign_count, key.sign_count) != (0, 0) && data.sign_count <= key.sign_count {
            return Err(NotTaken::Counter);
        }
        Ok(Authenticated {
            sign_count: data.sign_count,
            is_verified: data.is_verified(),
            is_backed_up: data.is_backed_up(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_is_what_browsers_take_for_one() {
        for (url, id, origin) in [
            ("https://weir.example", "weir.example", "https://weir.example"),
            ("https://Weir.Example:443/x", "weir.example", "https://weir.example"),
            ("https://weir.example:8443", "weir.example", "https://weir.example:8443"),
            ("http://localhost:7401", "localhost", "http://localhost:7401"),
        ] {
            let party = RelyingParty::of_url(url).unwrap();
            assert_eq!((party.id.as_str(), party.origin.as_str()), (id, origin));
        }
        for url in [
            "",
            "weir.example",
            "http://weir.example",
            "http://127.0.0.1:7401",
            "https://192.0.2.1",
            "https://[2001:db8::1]",
            "https://a@weir.example",
            "https://weir..example",
            "https://weir.example:x",
            "ftp://weir.example",
        ] {
            assert_eq!(RelyingParty::of_url(url), None, "{url}");
        }
    }
}
