//! Decimals as text: digits, at most one point, at most one sign, and nothing else.

use rust_decimal::Decimal;

/// Why a text is no decimal of the kind that was wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotDecimal {
    /// Other characters than digits, a point between digits, and a minus before them.
    #[error("is a decimal such as \"12.5\", without exponent, plus or spaces")]
    Form,
    /// More decimals than it may have, zeros at the end apart.
    #[error("has at most {0} decimals")]
    Decimals(u32),
    /// Too large, or too many digits.
    #[error("is too large: {0}")]
    Large(&'static str),
    /// Less than zero.
    #[error("is not negative")]
    Negative,
}

/// The decimal that a text says, without zeros at its end.
///
/// `rust_decimal` reads more than this: exponents, underscores, a point without digits. And it rounds what has more
/// digits than it can hold; here that is an error.
pub(crate) fn read(text: &str) -> Result<Decimal, NotDecimal> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, decimals) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(whole) || !is_digits(decimals) {
        return Err(NotDecimal::Form);
    }
    let exact = Decimal::from_str_exact(text).map_err(|_| NotDecimal::Large("it has more than 28 digits"))?;
    Ok(exact.normalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_decimals_are_read() {
        for (text, is) in [("0", "0"), ("-0.0", "0"), ("007", "7"), ("49.00", "49"), ("-1.50", "-1.5")] {
            assert_eq!(read(text).map(|read| read.to_string()), Ok(is.to_owned()), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in
            ["", "-", ".", "1.", ".5", "+1", "1e3", "1_000", "1,5", " 1", "1 ", "--1", "1.2.3", "NaN", "٣"]
        {
            assert_eq!(read(text), Err(NotDecimal::Form), "{text}");
        }
    }

    #[test]
    fn the_largest_is_two_to_the_96_less_one_and_one_more_is_refused() {
        assert!(read("79228162514264337593543950335").is_ok());
        assert!(matches!(read("79228162514264337593543950336"), Err(NotDecimal::Large(_))));
        assert!(read("0.0000000000000000000000000001").is_ok());
        assert!(matches!(read("0.00000000000000000000000000001"), Err(NotDecimal::Large(_))));
    }
}
