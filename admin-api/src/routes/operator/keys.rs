use accounts::key;
use axum::extract::Path;
use axum::http::StatusCode;

use crate::auth::OnPlatform;
use crate::reply::Refused;
use crate::routes::keys::parsed;

/// Of whichever tenant the key is.
pub(in crate::routes) async fn revoke(
    OnPlatform(mut scope): OnPlatform,
    Path(id): Path<String>,
) -> Result<StatusCode, Refused> {
    let id = parsed(&id)?;
    let tenant = key::tenant_of(&mut scope, id).await?;
    let mut scope = scope.enter(tenant).await?;
    key::revoke(&mut scope, id).await?;
    scope.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
