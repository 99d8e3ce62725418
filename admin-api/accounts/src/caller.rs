//! Who asks for something, and from where: what every scope knows, and every entry of the audit says.

use std::fmt;
use std::net::IpAddr;

use schemas::public_id::{MachineTokenId, PersonId};
use uuid::Uuid;

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor {
    /// A person who is signed in.
    Person(PersonId),
    /// Somebody of the platform who acts in a tenant.
    Impersonator(PersonId),
    /// A machine with a machine token.
    Token(MachineTokenId),
    /// The holder of the operator's token, or the command line.
    Operator,
    /// Weir itself: signing in, and what follows from time alone.
    System,
}

/// Who asks, and from where.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who.
    pub actor: Actor,
    /// The address that the request came from; `None`: the command line, or weir itself.
    pub address: Option<IpAddr>,
    /// The id of the request.
    pub request_id: Option<Uuid>,
}

impl Caller {
    /// The command line, run by an operator.
    pub const COMMAND_LINE: Self = Self::local(Actor::Operator);

    /// Somebody on this machine, without a request.
    #[must_use]
    pub const fn local(actor: Actor) -> Self {
        Self { actor, address: None, request_id: None }
    }

    /// The same request, made by `actor`.
    #[must_use]
    pub fn acting_as(&self, actor: Actor) -> Self {
        Self { actor, ..self.clone() }
    }
}

/// As the audit has it: a public id, that of an impersonator after the word, `operator` or `system`.
impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Person(id) => id.fmt(f),
            Self::Impersonator(id) => write!(f, "impersonator {id}"),
            Self::Token(id) => id.fmt(f),
            Self::Operator => f.write_str("operator"),
            Self::System => f.write_str("system"),
        }
    }
}
