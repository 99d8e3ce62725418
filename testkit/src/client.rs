//! An HTTP client that hides nothing.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::{HeaderMap, Method, Request};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use crate::contract;

/// A client of one address, with one credential.
#[derive(Clone)]
pub struct Client {
    address: SocketAddr,
    bearer: Option<String>,
    pool: Pool<HttpConnector, Full<Bytes>>,
}

/// A reply.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Its status.
    pub status: u16,
    /// Its header.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Reply {
    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("status {}, {error}: {:?}", self.status, self.body))
    }

    /// The code of a problem document.
    #[must_use]
    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }
}

impl Client {
    /// A client with a bearer's token, or none.
    #[must_use]
    pub fn new(address: SocketAddr, bearer: Option<&str>) -> Self {
        let pool = Pool::builder(TokioExecutor::new()).build_http();
        Self { address, bearer: bearer.map(ToOwned::to_owned), pool }
    }

    /// Posts a body of JSON.
    pub async fn post_json(&self, path: &str, body: impl Into<Bytes>) -> Reply {
        self.send(Method::POST, path, &[(CONTENT_TYPE.as_str(), "application/json")], body).await
    }

    /// Posts events named by their ids to the native route.
    pub async fn post_ids<I: std::fmt::Display>(&self, ids: impl IntoIterator<Item = I>) -> Reply {
        let events: Vec<String> =
            ids.into_iter().map(|id| format!(r#"{{"id":"{id}","event":"tested"}}"#)).collect();
        self.post_json("/v1/events", format!("[{}]", events.join(","))).await
    }

    /// Sends any request.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Reply {
        self.try_send(method, path, headers, body).await.unwrap()
    }

    /// Sends any request; an error if no whole reply came. A reply of the admin API must be as its document says.
    ///
    /// # Errors
    /// If the connection fails.
    pub async fn try_send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> anyhow::Result<Reply> {
        let mut request = Request::builder().method(&method).uri(format!("http://{}{path}", self.address));
        if let Some(token) = &self.bearer {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let reply = self.pool.request(request.body(Full::new(body.into()))?).await?;
        let (parts, body) = reply.into_parts();
        let body = body.collect().await?.to_bytes();
        contract::check(&method, path, parts.status.as_u16(), &parts.headers, &body);
        Ok(Reply { status: parts.status.as_u16(), headers: parts.headers, body })
    }
}
