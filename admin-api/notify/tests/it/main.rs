//! Mails as they are written, and as a real SMTP server takes them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where something is wrong")]

mod letters;
mod relay;
