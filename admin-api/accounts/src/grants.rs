//! What somebody may do in a tenant.

use schemas::id::ProjectId;
use schemas::permission::Permission;

/// What a person or a token may do in a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grants {
    /// The role's name.
    pub role: String,
    /// What it permits.
    pub permissions: Vec<Permission>,
    /// The only projects that it is for; `None`: all.
    pub projects: Option<Vec<ProjectId>>,
}

impl Grants {
    /// What an operator may do in any tenant.
    #[must_use]
    pub fn of_operator() -> Self {
        Self { role: "operator".to_owned(), permissions: Permission::ALL.to_vec(), projects: None }
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
