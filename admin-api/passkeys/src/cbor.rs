//! What authenticators write of CBOR (RFC 8949): CTAP 2's canonical form has no lengths that are open at the end, no
//! tags, and no fractions.

use crate::NotTaken;

/// Maps and lists within each other. CTAP 2 allows four.
const DEPTH_MAX: usize = 8;
const CUT_OFF: NotTaken = NotTaken::Malformed("CBOR ends too early");
const OTHER: NotTaken = NotTaken::Malformed("CBOR holds what authenticators do not write");

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value<'a> {
    Integer(i64),
    Bytes(&'a [u8]),
    Text(&'a str),
    List(Vec<Self>),
    Map(Vec<(Self, Self)>),
    /// True, false, or null, of which nothing that is read here depends.
    Simple,
}

impl<'a> Value<'a> {
    /// The first value of `bytes`, and what follows it.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), NotTaken> {
        let mut rest = bytes;
        let value = read(&mut rest, DEPTH_MAX)?;
        Ok((value, rest))
    }

    /// What a map has under that key.
    pub(crate) fn get(&self, key: &Value<'_>) -> Option<&Value<'a>> {
        let Self::Map(pairs) = self else { return None };
        pairs.iter().find(|(of, _)| of == key).map(|(_, value)| value)
    }

    pub(crate) fn bytes(&self) -> Option<&'a [u8]> {
        if let Self::Bytes(bytes) = self { Some(bytes) } else { None }
    }
}

fn read<'a>(rest: &mut &'a [u8], depth: usize) -> Result<Value<'a>, NotTaken> {
    let depth = depth.checked_sub(1).ok_or(OTHER)?;
    let (first, after) = rest.split_first().ok_or(CUT_OFF)?;
    *rest = after;
    let (kind, info) = (first >> 5, first & 31);
    if kind == 7 {
        return if (20..=22).contains(&info) { Ok(Value::Simple) } else { Err(OTHER) };
    }
    let number = number(rest, info)?;
    Ok(match kind {
        0 => Value::Integer(i64::try_from(number).map_err(|_| OTHER)?),
        1 => Value::Integer(-1 - i64::try_from(number).map_err(|_| OTHER)?),
        2 => Value::Bytes(take(rest, number)?),
        3 => Value::Text(std::str::from_utf8(take(rest, number)?).map_err(|_| OTHER)?),
        // Each element takes a byte at least, so the input bounds what is allocated.
        4 => Value::List((0..number).map(|_| read(rest, depth)).collect::<Result<_, _>>()?),
        5 => Value::Map(
            (0..number)
                .map(|_| Ok((read(rest, depth)?, read(rest, depth)?)))
                .collect::<Result<_, NotTaken>>()?,
        ),
        _ => return Err(OTHER),
    })
}

/// A number, or a length, that stands in the first byte or in up to eight after it.
fn number(rest: &mut &[u8], info: u8) -> Result<u64, NotTaken> {
    let width = match info {
        0..=23 => return Ok(u64::from(info)),
        24 => 1,
        25 => 2,
        26 => 4,
        27 => 8,
        _ => return Err(OTHER),
    };
    Ok(take(rest, width)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

fn take<'a>(rest: &mut &'a [u8], length: u64) -> Result<&'a [u8], NotTaken> {
    let length = usize::try_from(length).map_err(|_| CUT_OFF)?;
    let (taken, after) = rest.split_at_checked(length).ok_or(CUT_OFF)?;
    *rest = after;
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// RFC 8949, appendix A.
    #[test]
    fn values_are_those_of_the_rfc() {
        for (bytes, value) in [
            (&b"\x00"[..], Value::Integer(0)),
            (b"\x18\x64", Value::Integer(100)),
            (b"\x1a\x00\x0f\x42\x40", Value::Integer(1_000_000)),
            (b"\x26", Value::Integer(-7)),
            (b"\x39\x01\x00", Value::Integer(-257)),
            (b"\x44\x01\x02\x03\x04", Value::Bytes(&[1, 2, 3, 4])),
            (b"\x64IETF", Value::Text("IETF")),
            (b"\x82\x01\xf5", Value::List(vec![Value::Integer(1), Value::Simple])),
            (b"\xa1\x61a\x01", Value::Map(vec![(Value::Text("a"), Value::Integer(1))])),
        ] {
            assert_eq!(Value::read(bytes), Ok((value, &[][..])), "{bytes:x?}");
        }
        assert_eq!(Value::read(b"\x01rest"), Ok((Value::Integer(1), &b"rest"[..])));
    }

    #[test]
    fn what_no_authenticator_writes_is_refused() {
        for bytes in [
            &b""[..],
            b"\x18",
            b"\x44\x01",
            b"\x5f\x41\x01\xff",
            b"\x9f\xff",
            b"\xbf\xff",
            b"\xc0\x00",
            b"\xf9\x3c\x00",
            b"\x61\xff",
            b"\x1b\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\x5b\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff",
        ] {
            assert!(Value::read(bytes).is_err(), "{bytes:x?}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| [vec![0x81; depth - 1], vec![0]].concat();
        assert!(Value::read(&nested(DEPTH_MAX)).is_ok());
        assert!(Value::read(&nested(DEPTH_MAX + 1)).is_err());
        assert!(Value::read(&vec![0x81; 1_000_000]).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = Value::read(&bytes);
        }
    }
}
