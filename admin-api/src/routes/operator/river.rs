use axum::Json;
use axum::extract::State;
use metering::river::{self, River};
use service::store::StoreError;

use crate::api::Api;
use crate::reply::Answer;

/// Nothing here needs a store: what does not answer in time is named as unknown.
pub(in crate::routes) async fn show(State(api): State<Api>) -> Answer<River> {
    let books = async {
        let mut scope = api.platform().await?;
        Ok::<_, StoreError>(river::books(scope.connection()).await?)
    };
    Ok(Json(river::look(books, &api.clickhouse, Some(&*api.log)).await))
}
