//! How much memory a body may take: the limit of its plain bytes, and budgets that pay for every byte.
//!
//! Whose budgets these are, and how they are shared, is the caller's matter: a [`Charge`] says yes or no.

use schemas::problem::{Code, Problem};

/// Bytes of small texts for which the budgets are not asked one by one.
const UNPAID_BYTES_MAX: usize = 64 * 1024;

/// Charges so many more bytes to the sender of the body, before they are held; or says why not.
pub type Charge<'a> = dyn FnMut(usize) -> Result<(), Problem> + Send + 'a;

/// How much a body may grow, by inflating it and by what is made of it, and who pays for it.
pub struct Room<'a> {
    bytes_max: usize,
    derived_bytes_max: usize,
    derived_bytes: usize,
    /// Inflated, derived and the rest.
    taken_bytes: usize,
    /// Of these, those that the budgets were not asked for yet.
    unpaid_bytes: usize,
    charge: Option<&'a mut Charge<'a>>,
}

impl<'a> Room<'a> {
    /// Up to `bytes_max` plain bytes, and no more than `charge` allows.
    pub fn charged(bytes_max: usize, charge: &'a mut Charge<'a>) -> Self {
        Self { charge: Some(charge), ..Self::free(bytes_max) }
    }

    /// Up to `bytes_max` plain bytes, and up to `derived_bytes_max` of what is made of them. For bodies that are small
    /// enough that the budgets are asked afterwards.
    #[must_use]
    pub fn bounded(bytes_max: usize, derived_bytes_max: usize) -> Self {
        Self { derived_bytes_max, ..Self::free(bytes_max) }
    }

    /// All that there is: for tools and tests.
    #[must_use]
    pub fn unlimited() -> Self {
        Self::free(usize::MAX)
    }

    /// Up to `bytes_max` plain bytes.
    #[must_use]
    pub fn free(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            derived_bytes_max: usize::MAX,
            derived_bytes: 0,
            taken_bytes: 0,
            unpaid_bytes: 0,
            charge: None,
        }
    }

    /// Takes bytes of something that is made of the body, before or right after it is: the body's own are paid for.
    ///
    /// # Errors
    /// `body_too_large` if it is more than the room has; what the budgets say.
    #[inline]
    pub fn derive(&mut self, bytes: usize) -> Result<(), Problem> {
        self.derived_bytes = self.derived_bytes.saturating_add(bytes);
        if self.derived_bytes > self.derived_bytes_max {
            return Err(too_large(self.derived_bytes_max));
        }
        if self.unpaid_bytes + bytes <= UNPAID_BYTES_MAX {
            self.unpaid_bytes += bytes;
            self.taken_bytes += bytes;
            return Ok(());
        }
        self.charge(bytes)
    }

    /// Takes bytes that need no room: what is reckoned anyhow, and not written by the client.
    ///
    /// # Errors
    /// What the budgets say.
    pub fn charge(&mut self, bytes: usize) -> Result<(), Problem> {
        self.taken_bytes = self.taken_bytes.saturating_add(bytes);
        let unpaid = std::mem::take(&mut self.unpaid_bytes);
        self.charge.as_mut().map_or(Ok(()), |charge| charge(bytes.saturating_add(unpaid)))
    }

    /// Bytes that were taken.
    #[must_use]
    pub fn taken_bytes(&self) -> usize {
        self.taken_bytes
    }

    /// Plain bytes at most.
    pub(crate) fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    pub(crate) fn too_large(&self) -> Problem {
        too_large(self.bytes_max)
    }
}

fn too_large(bytes_max: usize) -> Problem {
    Problem::new(
        Code::BodyTooLarge,
        format!("the body is larger than {bytes_max} bytes once it is decompressed"),
    )
}
