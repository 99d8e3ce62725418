//! Proofs out of a pack.

use std::io::BufRead;

use crate::check::Expected;
use crate::hex::PublicKey;
use crate::proof::{Proof, Sought};
use crate::prover::Prover;
use crate::refused::{Refused, Why};
use crate::report::Report;
use crate::signed::Signed;
use crate::verify::{Step, walk};

/// Verifies a pack, and calls `each` with what each of its seals says of the event, one after the other.
///
/// # Errors
/// As [`crate::verify`]. What `each` saw before is good.
pub fn prove(
    input: impl BufRead,
    expected: &Expected,
    sought: &Sought,
    mut each: impl FnMut(Proof),
) -> Result<Report, Refused> {
    let mut open: Option<(Signed, PublicKey, Prover)> = None;
    walk(input, expected, |step| {
        match step {
            Step::Seal(signed, public) => {
                open = Some((signed.clone(), *public, Prover::new(sought.project, sought.event)));
            }
            Step::Leaf(leaf) => {
                if let Some((_, _, prover)) = &mut open {
                    prover.push(leaf)?;
                }
            }
            Step::Whole => {
                if let Some((signed, public, prover)) = open.take()
                    && let Some((_, found)) = prover.finish()
                {
                    each(Proof { signed, public, sought: sought.clone(), found });
                }
            }
        }
        Ok::<(), Why>(())
    })
}
