//! Verifying a pack.

use std::io::BufRead;

use crate::check::{Check, Expected};
use crate::hex::PublicKey;
use crate::leaf::Leaf;
use crate::lines::{Lines, Said};
use crate::pack::End;
use crate::refused::{Refused, Why};
use crate::report::Report;
use crate::signed::Signed;

/// Verifies a pack: each signature, the chain of seals, that each hour's events are those that were sealed, and that
/// each row is its event's.
///
/// # Errors
/// At the first thing that is wrong; with [`Why::Read`] if `input` can't be read.
pub fn verify(input: impl BufRead, expected: &Expected) -> Result<Report, Refused> {
    walk(input, expected, |_| Ok(()))
}

/// What is seen on the way through a pack, once it is checked.
pub(crate) enum Step<'a> {
    /// A seal whose leaves follow, and its key.
    Seal(&'a Signed, &'a PublicKey),
    Leaf(&'a Leaf),
    /// No leaf of the seal follows; they are those that were sealed.
    Whole,
}

/// [`verify`], and `watch` sees what passes.
pub(crate) fn walk(
    input: impl BufRead,
    expected: &Expected,
    mut watch: impl FnMut(Step<'_>) -> Result<(), Why>,
) -> Result<Report, Refused> {
    let mut lines = Lines::of(input);
    let begun = lines.header().and_then(|header| Check::new(header, expected));
    let mut check = begun.map_err(|why| Refused { line: lines.number, seal: None, why })?;
    let end = loop {
        match line(&mut lines, &mut check, &mut watch) {
            Ok(None) => {}
            Ok(Some(end)) => break end,
            Err(why) => return Err(Refused { line: lines.number, seal: check.at, why }),
        }
    };
    let ended = check.end(&end).and_then(|report| lines.ends().map(|()| report));
    ended.map_err(|why| Refused { line: lines.number, seal: None, why })
}

/// Reads the next line; the end, if that is it.
fn line(
    lines: &mut Lines<impl BufRead>,
    check: &mut Check<'_>,
    watch: &mut impl FnMut(Step<'_>) -> Result<(), Why>,
) -> Result<Option<End>, Why> {
    match lines.next()? {
        Said::Leaf(leaf, row) => {
            check.leaf(&leaf, row)?;
            watch(Step::Leaf(&leaf))?;
        }
        Said::Seal(signed) => {
            close(check, watch)?;
            if let Some(key) = check.seal(&signed)? {
                watch(Step::Seal(&signed, &key))?;
            }
        }
        Said::End(end) => {
            close(check, watch)?;
            return Ok(Some(end));
        }
    }
    Ok(None)
}

fn close(check: &mut Check<'_>, watch: &mut impl FnMut(Step<'_>) -> Result<(), Why>) -> Result<(), Why> {
    if check.close()? { watch(Step::Whole) } else { Ok(()) }
}
