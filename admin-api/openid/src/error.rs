/// Why a sign-in through a provider did not work out.
#[derive(Debug, thiserror::Error)]
pub enum OpenIdError {
    /// The provider did not answer, or not in time.
    #[error("the OpenID provider did not answer")]
    Away(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Its answer is not what the standard says.
    #[error("the OpenID provider's answer can't be used: {0}")]
    Answer(&'static str),
    /// It refused: the code was used, has expired, or is another's; or somebody pressed cancel.
    #[error("the OpenID provider refused: {0}")]
    Refused(String),
    /// The ID token is not one for this sign-in.
    #[error("the ID token is not good: {0}")]
    Token(&'static str),
}
