//! The SQL of each table, and the scope that it works in.

pub(crate) mod pattern;
pub(crate) mod chain;
pub(crate) mod scope;
pub mod plan;
pub mod tenant;
pub mod project;
pub mod key;
pub mod erasure;
pub mod audit;
pub mod person;
pub mod muted_mail;
pub(crate) mod platform_member;
pub mod member_role;
pub mod membership;
pub mod invitation;
pub mod machine_token;
pub mod session;
pub(crate) mod one_time;
pub(crate) mod second_factor;
pub(crate) mod device;
pub(crate) mod attempt;
pub(crate) mod signing_key;
pub mod outbox;
pub mod suppression;
pub mod sweep;
