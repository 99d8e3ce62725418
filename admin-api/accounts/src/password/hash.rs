use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use service::config::Secret;
use subtle::ConstantTimeEq;

/// What a hash costs. Hashes of another cost are replaced at the next sign-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashCost {
    /// KiB of memory.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl HashCost {
    /// What OWASP asks for: m=19456, t=2, p=1.
    pub const DEFAULT: Self = Self { memory_kib: 19_456, passes: 2, lanes: 1 };
    /// More than this is in no hash that weir wrote: a damaged row must not take all memory.
    const MEMORY_KIB_MAX: u32 = 1 << 20;
}

/// What was found about a password and a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Checked {
    /// Whether the password is the hash's.
    pub(crate) matches: bool,
    /// Whether the hash has another cost than new ones.
    pub(crate) outdated: bool,
}

/// The password's hash in the PHC form: `$argon2id$v=19$m=19456,t=2,p=1$<salt>$<hash>`. `None`: no such cost can be.
pub(super) fn make(password: &Secret, salt: [u8; 16], cost: HashCost) -> Option<String> {
    let hash = derive(password, &salt, cost)?;
    let HashCost { memory_kib, passes, lanes } = cost;
    let (salt, hash) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(hash));
    Some(format!("$argon2id$v=19$m={memory_kib},t={passes},p={lanes}${salt}${hash}"))
}

/// `None`: the text is no hash that [`make`] could have made.
pub(super) fn check(password: &Secret, phc: &str, cost: HashCost) -> Option<Checked> {
    let mut parts = phc.strip_prefix("$argon2id$v=19$")?.split('$');
    let (costs, salt, hash) = (parts.next()?, parts.next()?, parts.next()?);
    let mut numbers = costs.split(',');
    let mut number = |name: &str| numbers.next()?.strip_prefix(name)?.parse().ok();
    let made = HashCost { memory_kib: number("m=")?, passes: number("t=")?, lanes: number("p=")? };
    if parts.next().is_some() || made.memory_kib > HashCost::MEMORY_KIB_MAX {
        return None;
    }
    let stored = STANDARD_NO_PAD.decode(hash).ok()?;
    let presented = derive(password, &STANDARD_NO_PAD.decode(salt).ok()?, made)?;
    Some(Checked { matches: presented.as_slice().ct_eq(&stored).into(), outdated: made != cost })
}

fn derive(password: &Secret, salt: &[u8], cost: HashCost) -> Option<[u8; 32]> {
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(32)).ok()?;
    let mut hash = [0; 32];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(password.expose().as_bytes(), salt, &mut hash)
        .ok()?;
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: HashCost = HashCost { memory_kib: 64, passes: 1, lanes: 1 };

    #[test]
    fn a_hash_knows_its_password_and_its_cost() {
        let password = Secret::from("kettle-orbit-mango");
        let phc = make(&password, [7; 16], CHEAP).unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{phc}");
        assert_eq!(check(&password, &phc, CHEAP), Some(Checked { matches: true, outdated: false }));
        let dear = HashCost { passes: 2, ..CHEAP };
        assert_eq!(check(&password, &phc, dear), Some(Checked { matches: true, outdated: true }));
        let other = Secret::from("kettle-orbit-mangO");
        assert_eq!(check(&other, &phc, CHEAP), Some(Checked { matches: false, outdated: false }));
        assert_ne!(phc, make(&password, [8; 16], CHEAP).unwrap());
    }

    /// Made by the reference implementation's command line, `argon2 somesalt -id -t 2 -m 16 -p 1`.
    #[test]
    fn a_hash_of_the_reference_implementation_is_known() {
        let phc = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        assert_eq!(check(&Secret::from("password"), phc, CHEAP).map(|checked| checked.matches), Some(true));
    }

    #[test]
    fn what_is_no_hash_is_refused() {
        let password = Secret::from("x");
        for text in [
            "",
            "$argon2id$",
            "$2b$12$abc",
            "$argon2id$v=19$m=64,t=1$AAAA$AAAA",
            "$argon2id$v=19$m=4294967295,t=1,p=1$AAAAAAAAAAA$AAAA",
        ] {
            assert_eq!(check(&password, text, CHEAP), None, "{text}");
        }
    }
}
