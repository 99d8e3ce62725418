//! Who may do what: the permissions, and the roles that every tenant has. `docs/permissions.md` begins with [`page`].

use std::fmt;
use std::fmt::Write as _;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::described::{self, described};

macro_rules! permissions {
    ($($(#[doc = $doc:literal])* $variant:ident = $word:literal;)*) => {
        /// What somebody may do in a tenant. A closed set.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Permission {
            $($(#[doc = $doc])* #[serde(rename = $word)] $variant,)*
        }

        impl Permission {
            /// Every permission.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The word in tokens, custom roles and pages.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// What it lets one do.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),*).trim_ascii_start(),)* }
            }
        }
    };
}

permissions! {
    /// See the tenant's name, plan and state.
    TenantRead = "tenant.read";
    /// Change the tenant's name and settings.
    TenantManage = "tenant.manage";
    /// Delete the tenant, and restore it within 30 days.
    TenantDelete = "tenant.delete";
    /// Give the tenant to another owner.
    TenantTransfer = "tenant.transfer";
    /// See members, roles and invitations.
    MembersRead = "members.read";
    /// Invite members, change their roles, remove them.
    MembersManage = "members.manage";
    /// Make and change roles of the tenant's own.
    RolesManage = "roles.manage";
    /// See projects.
    ProjectsRead = "projects.read";
    /// Make, rename and close projects.
    ProjectsManage = "projects.manage";
    /// See API keys, without their secrets.
    KeysRead = "keys.read";
    /// Make, rotate and revoke API keys.
    KeysManage = "keys.manage";
    /// See tokens for machines, without their secrets.
    TokensRead = "tokens.read";
    /// Make and revoke tokens for machines.
    TokensManage = "tokens.manage";
    /// See usage and outcomes.
    UsageRead = "usage.read";
    /// Read events, ask questions of them, see dead letters and erasures.
    EventsRead = "events.read";
    /// Replay and discard dead letters.
    EventsManage = "events.manage";
    /// Erase what is stored of a person.
    EventsErase = "events.erase";
    /// See imports, exports and files.
    FilesRead = "files.read";
    /// Start and cancel imports and exports.
    FilesManage = "files.manage";
    /// Set alerts on usage.
    AlertsManage = "alerts.manage";
    /// See subscription, invoices and credits.
    BillingRead = "billing.read";
    /// Change the subscription and how it is paid.
    BillingManage = "billing.manage";
    /// See webhooks and their deliveries.
    WebhooksRead = "webhooks.read";
    /// Make, test, rotate and remove webhooks.
    WebhooksManage = "webhooks.manage";
    /// Read and verify the audit.
    AuditRead = "audit.read";
}

impl Permission {
    /// Whether it lets one look and nothing else.
    #[must_use]
    pub fn is_read(self) -> bool {
        self.as_str().ends_with(".read")
    }
}

described!(Permission, described::word(Self::ALL.iter().map(|permission| permission.as_str())));

/// The text is no permission.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("there is no such permission")]
pub struct UnknownPermission;

impl FromStr for Permission {
    type Err = UnknownPermission;

    fn from_str(word: &str) -> Result<Self, UnknownPermission> {
        Self::ALL.iter().copied().find(|permission| permission.as_str() == word).ok_or(UnknownPermission)
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A role that every tenant has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum BuiltInRole {
    /// May do everything. A tenant always has one.
    Owner,
    /// May do everything except delete the tenant or give it away.
    Admin,
    /// Works with projects, keys, events, files and webhooks.
    Developer,
    /// Works with plan, invoices and payment.
    Billing,
    /// Sees everything except the audit.
    Viewer,
}

impl BuiltInRole {
    /// Every role.
    pub const ALL: [Self; 5] = [Self::Owner, Self::Admin, Self::Developer, Self::Billing, Self::Viewer];

    /// The word in tokens and requests.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Developer => "developer",
            Self::Billing => "billing",
            Self::Viewer => "viewer",
        }
    }

    /// Whether the role has the permission: the one table of roles and permissions.
    #[must_use]
    pub fn may(self, permission: Permission) -> bool {
        let noun = permission.as_str().split('.').next().unwrap_or_default();
        match self {
            Self::Owner => true,
            Self::Admin => !matches!(permission, Permission::TenantDelete | Permission::TenantTransfer),
            Self::Developer => {
                matches!(noun, "projects" | "keys" | "tokens" | "events" | "files" | "webhooks")
                    || matches!(permission, Permission::UsageRead | Permission::TenantRead)
            }
            Self::Billing => {
                noun == "billing"
                    || matches!(
                        permission,
                        Permission::UsageRead | Permission::AlertsManage | Permission::TenantRead
                    )
            }
            Self::Viewer => permission.is_read() && permission != Permission::AuditRead,
        }
    }

    /// All that the role may do, in the order of [`Permission::ALL`].
    pub fn permissions(self) -> impl Iterator<Item = Permission> {
        Permission::ALL.iter().copied().filter(move |permission| self.may(*permission))
    }
}

/// A role of somebody who works for the platform, in every tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PlatformRole {
    /// May do everything.
    Operator,
    /// Sees everything, and changes nothing.
    Support,
}

impl PlatformRole {
    /// Every role.
    pub const ALL: [Self; 2] = [Self::Operator, Self::Support];

    /// The word in tokens and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Support => "support",
        }
    }

    /// Whether the role has the permission, in any tenant.
    #[must_use]
    pub fn may(self, permission: Permission) -> bool {
        match self {
            Self::Operator => true,
            Self::Support => permission.is_read(),
        }
    }
}

impl FromStr for PlatformRole {
    type Err = UnknownRole;

    fn from_str(word: &str) -> Result<Self, UnknownRole> {
        Self::ALL.into_iter().find(|role| role.as_str() == word).ok_or(UnknownRole)
    }
}

impl TryFrom<String> for PlatformRole {
    type Error = UnknownRole;

    fn try_from(word: String) -> Result<Self, UnknownRole> {
        word.parse()
    }
}

impl fmt::Display for PlatformRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is no built-in role.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("there is no such role")]
pub struct UnknownRole;

impl FromStr for BuiltInRole {
    type Err = UnknownRole;

    fn from_str(word: &str) -> Result<Self, UnknownRole> {
        Self::ALL.into_iter().find(|role| role.as_str() == word).ok_or(UnknownRole)
    }
}

impl fmt::Display for BuiltInRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The first part of `docs/permissions.md`.
#[must_use]
pub fn page() -> String {
    let mut page = String::from(HEAD);
    for permission in Permission::ALL {
        // Writing to a string does not fail.
        let _ = write!(page, "| `{permission}` | {} |", permission.meaning());
        for role in BuiltInRole::ALL {
            page.push_str(if role.may(*permission) { " yes |" } else { " |" });
        }
        page.push('\n');
    }
    page
}

const HEAD: &str = "# Permissions

What a member of a tenant may do is decided by the role of the membership. These roles every tenant has; a tenant may
make others, out of permissions that their maker has. This page is generated from `schemas/src/permission.rs`,
`schemas/src/lifecycle.rs` and `admin-api/src/routes.rs`.

| permission | lets one | owner | admin | developer | billing | viewer |
|---|---|---|---|---|---|---|
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_role_has_more_than_the_one_above_it() {
        for permission in Permission::ALL {
            let may = |role: BuiltInRole| role.may(*permission);
            assert!(may(BuiltInRole::Owner));
            for role in [BuiltInRole::Developer, BuiltInRole::Billing, BuiltInRole::Viewer] {
                assert!(may(BuiltInRole::Admin) || !may(role), "{role} {permission}");
            }
            assert_eq!(permission.as_str().parse(), Ok(*permission));
        }
        assert!(!BuiltInRole::Admin.may(Permission::TenantDelete));
        assert!(!BuiltInRole::Viewer.may(Permission::AuditRead));
        assert_eq!("Owner".parse::<BuiltInRole>(), Err(UnknownRole));
    }
}
