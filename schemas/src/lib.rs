//! The contract between weir's processes: what they call things, and the bytes that travel between them.
//!
//! # Path of an event
//! A customer's SDK presents a [`key::ApiKey`]. Ingest turns each event of the request into an
//! [`event::Event`], gives it the [`id::EventHash`] that decides both its partition and what counts as the
//! same event, and appends all events of one request for one partition as one [`frame`] to the log. The
//! processor reads the frame back, and every event in it ends in exactly one [`outcome::Outcome`]; what is in its row
//! is held by a [`content::ContentHash`], and what the processor can't read is kept as a dead [`letter`]. A refusal
//! reaches the client as a [`problem::Problem`]. What its tenant is shown of all that ingest took or refused is an
//! [`intake::Intake`]. Who may ask for events to be erased says so by a [`subject::SubjectKind`].
//! What no two of weir's processes may do at a time they do under a [`lock`] that Postgres keeps.
//! People name things by a [`public_id`], and may do what their role's [`permission`]s say, as far as the
//! [`lifecycle`] of their tenant lets them.
//!
//! Nothing here does I/O, reads a clock or draws a random number, except [`key::ApiKey::generate`].

mod described;
pub mod id;
pub mod time;
pub mod limit;
pub mod address;
pub mod key;
pub mod event;
pub mod frame;
pub mod outcome;
pub mod content;
pub mod letter;
pub mod problem;
pub mod intake;
pub mod subject;
pub mod lock;
pub mod public_id;
pub mod permission;
pub mod lifecycle;
