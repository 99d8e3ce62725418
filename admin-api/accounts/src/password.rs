//! Passwords: which are good, and how they are kept.

mod hash;
mod pool;

use service::config::Secret;

pub use hash::HashCost;
pub use pool::{Busy, Hasher};

/// Letters of a password at least.
const CHARACTERS_MIN: usize = 12;
/// Letters at most: what is longer costs a server more than it costs an attacker.
const CHARACTERS_MAX: usize = 128;
/// Guesses that a password must outlast, as zxcvbn estimates them. The 10,000 most common ones are all below.
const GUESSES_MIN: u64 = 1_000_000;

/// Why a password is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Weak {
    /// Too short, or far too long.
    #[error("a password has {CHARACTERS_MIN} to {CHARACTERS_MAX} characters")]
    Length,
    /// One of the most common, or made of the person's own address or name, or of a few words or keys in a row.
    #[error("the password is easy to guess: take several words that do not belong together")]
    Guessable,
}

/// Holds a new password to the rules. `about` is what an attacker knows of the person.
pub(crate) fn check(password: &Secret, about: &[&str]) -> Result<(), Weak> {
    let characters = password.expose().chars().count();
    if !(CHARACTERS_MIN..=CHARACTERS_MAX).contains(&characters) {
        return Err(Weak::Length);
    }
    let known = pieces(about);
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    if zxcvbn::zxcvbn(password.expose(), &known).guesses() < GUESSES_MIN {
        return Err(Weak::Guessable);
    }
    Ok(())
}

/// Each text, its words, and its words without what stands between them.
fn pieces(texts: &[&str]) -> Vec<String> {
    let mut pieces = Vec::new();
    for text in texts {
        let words = || text.split(|c: char| !c.is_alphanumeric()).filter(|word| word.chars().count() > 2);
        pieces.extend([(*text).to_owned(), words().collect()]);
        pieces.extend(words().map(str::to_owned));
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_long_enough_not_endless_and_hard_to_guess() {
        let about = ["ada.lovelace@example.com", "Ada Lovelace"];
        let good = |text: &str| check(&Secret::from(text), &about);
        assert_eq!(good("kettle-orbit-mango"), Ok(()));
        assert_eq!(good(&"kettle orbit mango".repeat(8)[..128]), Ok(()));
        for short in ["", "kettle-mang", "käse-käse-k"] {
            assert_eq!(good(short), Err(Weak::Length), "{short}");
        }
        assert_eq!(good(&"x9".repeat(65)), Err(Weak::Length));
        for common in [
            "passwordpassword",
            "password1234",
            "qwertyuiop12",
            "aaaaaaaaaaaa",
            "123456789012",
            "1q2w3e4r5t6y",
            "adalovelace1",
            "unbelievable",
        ] {
            assert_eq!(good(common), Err(Weak::Guessable), "{common}");
        }
    }
}
