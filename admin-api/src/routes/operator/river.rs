use axum::Json;
use axum::extract::State;
use metering::river::{self, Questions, River};
use service::store::StoreError;

use crate::api::Api;
use crate::reply::Answer;

/// Nothing here needs a store: what does not answer in time is named as unknown.
pub(in crate::routes) async fn show(State(api): State<Api>) -> Answer<River> {
    let questions = Questions {
        books: async {
            let mut scope = api.platform().await?;
            Ok::<_, StoreError>(river::books(scope.connection()).await?)
        },
        holdings: async {
            let mut scope = api.platform().await?;
            Ok(river::holdings(scope.connection()).await?)
        },
        database_bytes: async {
            let mut scope = api.platform().await?;
            Ok(river::database_bytes(scope.connection()).await?)
        },
    };
    Ok(Json(river::look(questions, &api.clickhouse, Some(&*api.log)).await))
}
