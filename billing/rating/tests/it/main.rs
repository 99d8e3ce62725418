//! Whole plans and periods: against slow oracles, and against the figures of other products.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where something is wrong")]

mod plans;
mod slow;
mod rating;
mod reply;
mod spending;
mod examples;
mod proration;
