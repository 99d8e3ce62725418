use service::config::{Secret, Settings};

/// An OpenID provider.
#[derive(Debug, Clone)]
pub struct ProviderConfig {
    /// Its name in paths: lower-case letters, digits and `-`.
    pub name: String,
    /// Its issuer, a URL, exactly as its tokens have it.
    pub issuer: String,
    /// What it calls us.
    pub client_id: String,
    /// What we show it.
    pub client_secret: Secret,
    /// Whether it asks for a second factor itself, so that ours is not asked for.
    pub replaces_second_factor: bool,
}

const PREFIX: &str = "WEIR_OIDC_";

impl ProviderConfig {
    /// Reads the settings of every provider that has an issuer.
    pub fn read_all(settings: &mut Settings) -> Vec<Self> {
        let names = settings.names_within(PREFIX, "_ISSUER");
        names.iter().filter_map(|name| Self::read(settings, name)).collect()
    }

    /// `name` as in `WEIR_OIDC_GOOGLE_ISSUER`.
    fn read(settings: &mut Settings, name: &str) -> Option<Self> {
        // Names of settings live as long as the process.
        let named = |what: &str| -> &'static str { format!("{PREFIX}{name}_{what}").leak() };
        let meaning =
            "an OpenID provider's issuer, as in https://accounts.google.com: people sign in through it";
        let issuer = settings.optional(named("ISSUER"), meaning)?;
        let client_id = settings.optional(named("CLIENT_ID"), "what the OpenID provider calls this weir");
        let meaning = "what this weir shows the OpenID provider";
        let client_secret = settings.secret(named("CLIENT_SECRET"), meaning);
        let replaces_second_factor = settings.get(
            named("REPLACES_SECOND_FACTOR"),
            false,
            "true: the OpenID provider asks for a second factor itself, so weir's is not asked for",
        );
        if !is_allowed(&issuer) {
            settings
                .refuse(format!("{}={issuer} is not https://..., or http://localhost...", named("ISSUER")));
        }
        let Some(client_id) = client_id else {
            settings
                .refuse(format!("{} is not set: the OpenID provider says what it is", named("CLIENT_ID")));
            return None;
        };
        let name = name.to_ascii_lowercase().replace('_', "-");
        Some(Self { name, issuer, client_id, client_secret, replaces_second_factor })
    }
}

/// HTTPS, or HTTP on this machine.
pub(crate) fn is_allowed(url: &str) -> bool {
    let local = ["http://localhost", "http://127.0.0.1", "http://[::1]"];
    url.starts_with("https://")
        || local.iter().any(|local| {
            url.strip_prefix(local).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/']))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Vec<ProviderConfig>, Vec<String>> {
        let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let mut settings = Settings::new(pairs);
        let all = ProviderConfig::read_all(&mut settings);
        settings.finish().map(|_| all).map_err(|error| error.0)
    }

    #[test]
    fn there_is_a_provider_for_each_issuer_and_none_without() {
        assert!(read(&[("WEIR_OIDC_X_CLIENT_ID", "id")]).unwrap().is_empty());
        let all = read(&[
            ("WEIR_OIDC_OUR_SSO_ISSUER", "https://sso.example"),
            ("WEIR_OIDC_OUR_SSO_CLIENT_ID", "weir"),
            ("WEIR_OIDC_OUR_SSO_CLIENT_SECRET", "hunter2"),
            ("WEIR_OIDC_GOOGLE_REPLACES_SECOND_FACTOR", "true"),
            ("WEIR_OIDC_GOOGLE_ISSUER", "https://accounts.google.com"),
            ("WEIR_OIDC_GOOGLE_CLIENT_ID", "1"),
            ("WEIR_OIDC_GOOGLE_CLIENT_SECRET", "2"),
        ])
        .unwrap();
        let named: Vec<_> = all.iter().map(|of| (of.name.as_str(), of.replaces_second_factor)).collect();
        assert_eq!(named, [("google", true), ("our-sso", false)]);
        assert!(!format!("{all:?}").contains("hunter2"));
        let mistakes = read(&[("WEIR_OIDC_X_ISSUER", "http://sso.example")]).unwrap_err();
        assert_eq!(mistakes.len(), 3, "{mistakes:?}");
    }

    #[test]
    fn nothing_is_spoken_in_the_clear_except_on_this_machine() {
        for (url, allowed) in [
            ("https://sso.example/x", true),
            ("http://localhost:9000/x", true),
            ("http://127.0.0.1", true),
            ("http://localhost.evil.example", false),
            ("http://127.0.0.1.evil.example/", false),
            ("http://127.0.0.1@evil.example/", false),
            ("http://sso.example", false),
            ("file:///etc/passwd", false),
        ] {
            assert_eq!(is_allowed(url), allowed, "{url}");
        }
    }
}
