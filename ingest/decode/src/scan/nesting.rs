//! Objects and arrays within one another.

use super::{Scanner, SyntaxError};

/// Containers that are open: one bit each, the innermost lowest.
#[derive(Debug, Default)]
struct Open {
    bits: u64,
    depth: u32,
    /// 64 containers each, outermost first: hostile bodies only. 1 bit for a byte of the body.
    spilled: Vec<u64>,
}

impl Open {
    #[inline]
    fn push(&mut self, object: bool) {
        if self.depth.is_multiple_of(u64::BITS) && self.depth > 0 {
            self.spilled.push(self.bits);
        }
        self.bits = self.bits << 1 | u64::from(object);
        self.depth += 1;
    }

    #[inline]
    fn pop(&mut self) {
        self.depth -= 1;
        self.bits >>= 1;
        if self.depth.is_multiple_of(u64::BITS) && self.depth > 0 {
            self.bits = self.spilled.pop().unwrap_or_default();
        }
    }

    #[inline]
    fn innermost_is_object(&self) -> bool {
        self.bits & 1 == 1
    }
}

impl Scanner<'_> {
    /// Reads an object or array with all that it holds; where it ends, and how deep containers are within one
    /// another.
    pub(super) fn container(&mut self, mut at: usize) -> Result<(usize, u32), SyntaxError> {
        let mut open = Open::default();
        let mut deepest = 0;
        loop {
            at = self.token(at);
            match self.byte(at) {
                Some(b'"') => at = self.string(at)?,
                Some(first @ (b'{' | b'[')) => {
                    let object = first == b'{';
                    open.push(object);
                    deepest = deepest.max(open.depth);
                    at = self.token(at + 1);
                    if self.byte(at) == Some(if object { b'}' } else { b']' }) {
                        open.pop();
                        at += 1;
                    } else {
                        if object {
                            at = self.nested_key(at)?;
                        }
                        continue;
                    }
                }
                _ => (at, _) = self.scalar(at)?,
            }
            let more;
            (at, more) = self.next_nested(at, &mut open)?;
            if !more {
                return Ok((at, deepest));
            }
        }
    }

    /// A value has ended: moves to the next, through the ends of containers; `false` when the last has ended.
    #[inline]
    fn next_nested(&mut self, mut at: usize, open: &mut Open) -> Result<(usize, bool), SyntaxError> {
        while open.depth > 0 {
            let object = open.innermost_is_object();
            at = self.token(at);
            match self.byte(at) {
                Some(b',') if object => {
                    at = self.token(at + 1);
                    return Ok((self.nested_key(at)?, true));
                }
                Some(b',') => return Ok((at + 1, true)),
                Some(b'}') if object => open.pop(),
                Some(b']') if !object => open.pop(),
                _ if object => return Err(self.error(at, "a comma or a closing brace was expected")),
                _ => return Err(self.error(at, "a comma or a closing bracket was expected")),
            }
            at += 1;
        }
        Ok((at, false))
    }

    /// Reads a key and its colon; where they end.
    #[inline]
    fn nested_key(&mut self, at: usize) -> Result<usize, SyntaxError> {
        let end = self.quoted_key(at)?;
        self.colon(end)
    }
}
