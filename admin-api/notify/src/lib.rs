//! Notifications: what weir's mails say, and how they are sent. It knows neither HTTP nor the queue.
//!
//! # Path of a mail
//! `accounts` puts a [`Mail`](accounts::Mail) into the outbox, in the transaction of what it is about. A job finds it
//! there and asks [`words`](mod@words) for its text, [`message`](mod@message) for the bytes, and [`Smtp`] to hand it
//! to the operator's relay.
//!
//! # What holds
//! * HTML and plain text say the same: both are laid out from the same words.
//! * What people have typed is text: it is escaped as a whole paragraph, and no client makes a link of it.
//! * A mail that is sent again has the same `Message-ID`.
//! * A relay that has not offered TLS gets neither password nor mail, unless it is on this machine.

pub mod address;
pub mod config;
pub mod words;
mod layout;
pub mod message;
pub mod metrics;
mod connect;
pub mod smtp;

pub use address::Mailbox;
pub use config::{MailConfig, Relay};
pub use message::Letterhead;
pub use smtp::{SendError, Smtp};
