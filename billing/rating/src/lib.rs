//! What a period costs, and nothing else: no store, no network, no clock, no float.
//!
//! # From usage to an invoice's lines
//! A [`Plan`] is read from JSON with [`Plan::from_json`], which names all that is wrong with it at once. [`rate()`]
//! takes a plan and the [`Usage`] of a period, and gives [`Rated`] lines and their sum. An [`Anchor`] says when each
//! [`Period`] begins and ends. [`prorate`](mod@prorate) cuts a fee where a plan changes inside of a period.
//! [`affordable`] turns a spending limit into a number of events. [`credit`] applies what a tenant has in advance.
//! [`lifecycle`] has the tables by which subscriptions and invoices change.
//!
//! # What holds
//! * *Exact or an error.* Quantities are whole millionths, prices have at most 15 digits, and their products fit 128
//!   bits. Nothing is rounded in silence, and what does not fit [`Money`] is an error.
//! * *One line, one rounding*: a line's amount is its quantity times its unit price, rounded half away from zero to the
//!   minor unit. The subtotal is the sum of the lines.
//! * *The same input gives the same output*, on every machine: the zone database is built in.
//! * *No input makes this crate panic.*

mod decimal;
mod currency;
mod quantity;
mod money;
mod price;
pub mod plan;
mod usage;
mod line;
mod rate;
mod spend;
pub mod period;
mod anchor;
pub mod prorate;
pub mod credit;
pub mod lifecycle;

pub use anchor::{Anchor, OutOfCalendar};
pub use currency::{Currency, UnknownCurrency};
pub use decimal::NotDecimal;
pub use line::{Kind, Line, Rated};
pub use money::{Money, MoneyError};
pub use period::Period;
pub use plan::{Charge, Interval, InvalidPlan, Model, Plan, PlanHash, Problem, Tier};
pub use price::{Exact, Price};
pub use quantity::Quantity;
pub use rate::rate;
pub use spend::{Affordable, Scope, affordable};
pub use usage::Usage;
