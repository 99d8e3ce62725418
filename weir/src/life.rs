//! A process from its start to its end: [`run`] has it in reading order, the others are its steps.

pub(crate) mod run;
pub(crate) mod stores;
pub(crate) mod descriptors;
mod bind;
#[cfg(feature = "faults")]
mod poison;
