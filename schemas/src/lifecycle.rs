//! The states of a tenant and of an invitation, the transitions between them, and who may make each: the second table
//! of authorisation, after that of the routes. State machines read it, and `docs/permissions.md` shows it ([`page`]).

use std::fmt::{self, Write as _};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::described::{self, described};
use crate::permission::Permission;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $what:literal; $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(into = "&'static str", try_from = "String")]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The word in requests, in replies and in the database.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        described!($name, described::word(Self::ALL.iter().map(|word| word.as_str())));

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;

            fn from_str(word: &str) -> Result<Self, UnknownWord> {
                Self::ALL.iter().copied().find(|known| known.as_str() == word).ok_or(UnknownWord($what))
            }
        }

        impl TryFrom<String> for $name {
            type Error = UnknownWord;

            fn try_from(word: String) -> Result<Self, UnknownWord> {
                word.parse()
            }
        }

        impl From<$name> for &'static str {
            fn from(of: $name) -> Self {
                of.as_str()
            }
        }
    };
}

/// The text is none of the words.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("it is {0}")]
pub struct UnknownWord(&'static str);

words! {
    /// What a tenant is.
    TenantState, "active, frozen, closed, deleted or erased";
    /// It sends events, and its people work.
    Active = "active",
    /// An operator stopped it: its keys are refused, and its people read.
    Frozen = "frozen",
    /// An operator ended it: its keys and its people are refused.
    Closed = "closed",
    /// Its owner deleted it: its keys are refused, and it can be restored for 30 days.
    Deleted = "deleted",
    /// Nothing is left of it but figures that are proved.
    Erased = "erased",
}

words! {
    /// What is done to a tenant as a whole.
    TenantTransition, "freeze, thaw, close, reopen, delete, restore or erase";
    /// Stop it.
    Freeze = "freeze",
    /// Let a frozen one in again.
    Thaw = "thaw",
    /// End it.
    Close = "close",
    /// Let a closed one in again.
    Reopen = "reopen",
    /// Delete it, for its owner to restore within 30 days.
    Delete = "delete",
    /// Let a deleted one in again.
    Restore = "restore",
    /// Erase one that was deleted 30 days ago.
    Erase = "erase",
}

words! {
    /// What an invitation is.
    InvitationState, "pending, accepted, revoked or expired";
    /// Its link makes somebody a member.
    Pending = "pending",
    /// It has.
    Accepted = "accepted",
    /// Somebody took it back.
    Revoked = "revoked",
    /// Its time is over.
    Expired = "expired",
}

words! {
    /// What is done with an invitation.
    InvitationTransition, "accept, revoke, resend or expire";
    /// Become a member.
    Accept = "accept",
    /// Make its link worthless.
    Revoke = "revoke",
    /// Send another link, good for seven days again; the old one is worthless.
    Resend = "resend",
    /// Let its time be over.
    Expire = "expire",
}

/// Who may make a transition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// A member or a machine token with the permission; and operators.
    Holder(Permission),
    /// Operators.
    Operator,
    /// Who has the link of the mail.
    Link,
    /// Weir itself, when it is time.
    Time,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Holder(permission) => write!(f, "`{permission}`"),
            Self::Operator => f.write_str("operators"),
            Self::Link => f.write_str("who has the link"),
            Self::Time => f.write_str("weir, when it is time"),
        }
    }
}

/// One line of the table. What has no line is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule<S, T> {
    /// The state before.
    pub from: S,
    /// What is done.
    pub transition: T,
    /// The state afterwards.
    pub to: S,
    /// Who may do it.
    pub who: Who,
}

const fn rule<S, T>(from: S, transition: T, to: S, who: Who) -> Rule<S, T> {
    Rule { from, transition, to, who }
}

/// The table of tenants.
pub const TENANT: &[Rule<TenantState, TenantTransition>] = {
    use TenantState::{Active, Closed, Deleted, Erased, Frozen};
    use TenantTransition::{Close, Delete, Erase, Freeze, Reopen, Restore, Thaw};
    &[
        rule(Active, Freeze, Frozen, Who::Operator),
        rule(Frozen, Thaw, Active, Who::Operator),
        rule(Active, Close, Closed, Who::Operator),
        rule(Frozen, Close, Closed, Who::Operator),
        rule(Closed, Reopen, Active, Who::Operator),
        rule(Active, Delete, Deleted, Who::Holder(Permission::TenantDelete)),
        rule(Deleted, Restore, Active, Who::Holder(Permission::TenantDelete)),
        rule(Deleted, Erase, Erased, Who::Time),
    ]
};

/// The table of invitations.
pub const INVITATION: &[Rule<InvitationState, InvitationTransition>] = {
    use InvitationState::{Accepted, Expired, Pending, Revoked};
    use InvitationTransition::{Accept, Expire, Resend, Revoke};
    &[
        rule(Pending, Accept, Accepted, Who::Link),
        rule(Pending, Revoke, Revoked, Who::Holder(Permission::MembersManage)),
        rule(Pending, Resend, Pending, Who::Holder(Permission::MembersManage)),
        rule(Pending, Expire, Expired, Who::Time),
        rule(Expired, Resend, Pending, Who::Holder(Permission::MembersManage)),
        rule(Expired, Revoke, Revoked, Who::Holder(Permission::MembersManage)),
    ]
};

/// The line for `transition` from the state `from`; `None`: there is no such transition.
#[must_use]
pub fn find<S: Copy + PartialEq, T: Copy + PartialEq>(
    table: &'static [Rule<S, T>],
    from: S,
    transition: T,
) -> Option<&'static Rule<S, T>> {
    table.iter().find(|rule| rule.from == from && rule.transition == transition)
}

impl TenantState {
    /// Whether a tenant in this state lets its people and machine tokens do what takes `permission`. Operators may in
    /// any state.
    #[must_use]
    pub fn admits(self, permission: Permission) -> bool {
        match self {
            Self::Active => true,
            Self::Frozen => permission.as_str().ends_with(".read"),
            Self::Deleted => matches!(permission, Permission::TenantRead | Permission::TenantDelete),
            Self::Closed | Self::Erased => false,
        }
    }
}

impl TenantState {
    /// Whether somebody may be invited to a tenant in this state, or join it.
    #[must_use]
    pub fn takes_members(self) -> bool {
        self == Self::Active
    }

    /// Whether a tenant in this state may get keys and tokens: operators make them in any state that lasts.
    #[must_use]
    pub fn takes_keys(self) -> bool {
        matches!(self, Self::Active | Self::Frozen)
    }
}

/// The part of `docs/permissions.md` after the permissions.
#[must_use]
pub fn page() -> String {
    let mut page = String::from("\n## States\n");
    section(&mut page, "tenant", TENANT);
    page.push_str("\nWhat a tenant's people may do in each state:\n\n");
    page.push_str("| state | permissions of their role |\n|---|---|\n");
    for state in TenantState::ALL {
        let admitted = |permission: &&Permission| state.admits(**permission);
        let all: Vec<String> = Permission::ALL.iter().filter(admitted).map(|of| format!("`{of}`")).collect();
        let words = match all.len() {
            0 => "none".to_owned(),
            number if number == Permission::ALL.len() => "all".to_owned(),
            _ => all.join(", "),
        };
        // Writing to a string does not fail.
        let _ = writeln!(page, "| {state} | {words} |");
    }
    section(&mut page, "invitation", INVITATION);
    page
}

fn section<S: fmt::Display, T: fmt::Display>(page: &mut String, of: &str, table: &[Rule<S, T>]) {
    let _ = write!(page, "\n| {of} | transition | becomes | who may make it |\n|---|---|---|---|\n");
    for Rule { from, transition, to, who } in table {
        let _ = writeln!(page, "| {from} | {transition} | {to} | {who} |");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_and_a_transition_have_one_line_at_most() {
        for (place, rule) in TENANT.iter().enumerate() {
            assert_eq!(find(TENANT, rule.from, rule.transition), TENANT.get(place));
        }
        for (place, rule) in INVITATION.iter().enumerate() {
            assert_eq!(find(INVITATION, rule.from, rule.transition), INVITATION.get(place));
        }
    }

    #[test]
    fn nothing_leads_out_of_an_end() {
        assert!(TENANT.iter().all(|rule| rule.from != TenantState::Erased));
        let is_end = |state| matches!(state, InvitationState::Accepted | InvitationState::Revoked);
        assert!(INVITATION.iter().all(|rule| !is_end(rule.from)));
    }

    #[test]
    fn words_are_read_as_they_are_written() {
        for state in TenantState::ALL {
            assert_eq!(state.as_str().parse(), Ok(*state));
        }
        assert!("Active".parse::<TenantState>().is_err());
        assert_eq!(serde_json::to_string(&TenantState::Frozen).unwrap(), "\"frozen\"");
        assert!(serde_json::from_str::<InvitationState>("\"open\"").is_err());
    }

    #[test]
    fn a_frozen_tenant_is_read_and_a_deleted_one_is_restored() {
        assert!(TenantState::Frozen.admits(Permission::UsageRead));
        assert!(!TenantState::Frozen.admits(Permission::KeysManage));
        assert!(TenantState::Deleted.admits(Permission::TenantDelete));
        assert!(!TenantState::Deleted.admits(Permission::KeysRead));
        assert!(Permission::ALL.iter().all(|permission| !TenantState::Closed.admits(*permission)));
    }
}
