//! What somebody may do in a tenant.

use schemas::id::ProjectId;
use schemas::permission::{Permission, PlatformRole};
use schemas::public_id::MembershipId;

/// What a member of some projects is answered who asks for what is of the whole tenant.
pub const LIMITED: &str = "your membership is limited to some projects, and this is of the whole tenant";

/// What an impersonation does not permit, whatever the role.
const OUTLIVING: [Permission; 6] = [
    Permission::TenantDelete,
    Permission::TenantTransfer,
    Permission::MembersManage,
    Permission::RolesManage,
    Permission::KeysManage,
    Permission::TokensManage,
];

/// What a person or a token may do in a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grants {
    /// The role's name.
    pub role: String,
    /// What it permits.
    pub permissions: Vec<Permission>,
    /// The only projects that it is for; `None`: all.
    pub projects: Option<Vec<ProjectId>>,
    /// The membership that they come from; `None`: somebody of the platform, or weir itself.
    pub membership: Option<MembershipId>,
}

impl Grants {
    /// What somebody of the platform may do in any tenant.
    #[must_use]
    pub fn of_platform(role: PlatformRole) -> Self {
        let permissions =
            Permission::ALL.iter().copied().filter(|permission| role.may(*permission)).collect();
        Self { role: role.as_str().to_owned(), permissions, projects: None, membership: None }
    }

    /// What somebody of the platform may do who acts in a tenant: nothing that would let anybody in when the half hour
    /// is over, and nothing that gives the tenant away.
    #[must_use]
    pub fn of_impersonator(role: PlatformRole) -> Self {
        let mut grants = Self::of_platform(role);
        grants.permissions.retain(|permission| !OUTLIVING.contains(permission));
        grants
    }

    /// Whether it permits that.
    #[must_use]
    pub fn may(&self, permission: Permission) -> bool {
        self.permissions.contains(&permission)
    }

    /// Whether it is for that project, too.
    #[must_use]
    pub fn covers(&self, project: ProjectId) -> bool {
        self.projects.as_ref().is_none_or(|projects| projects.contains(&project))
    }
}
