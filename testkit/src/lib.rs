//! For tests only: real stores, a database of its own for each test, the whole river in one process, and a client.
//!
//! Stores are found by the variables that `make test` and `make stores` set; without them a test fails and says so.
//! Everything here panics where a test should stop.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test stops where something is wrong")]

pub mod stores;
pub mod river;
pub mod node;
pub mod client;
mod contract;
pub mod authenticator;
pub mod frame;
pub mod fault_proxy;
pub mod proxy;
pub mod broker;
pub mod collector;
pub mod catcher;
pub mod crowd;
pub mod wait;
pub mod app;

pub use app::app_code;
pub use authenticator::{KeyKind, SoftAuthenticator};
pub use broker::Broker;
pub use catcher::Catcher;
pub use client::{Client, Reply};
pub use collector::{Collector, SentSpan};
pub use fault_proxy::{Fault, FaultProxy};
pub use node::{Node, NodeConfig};
pub use proxy::Proxy;
pub use river::River;
pub use stores::{Database, Stores};
pub use wait::eventually;
