//! A DynamoDB small enough to read: a put that asks for the item not to be there, and a get.
//!
//! Not modelled: tables (there is one), keys other than a string called `id`, conditions (whatever a put says, it means
//! `attribute_not_exists(id)`), everything else.

use std::collections::btree_map::{BTreeMap, Entry};
use std::io;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// Serves on port 8000.
pub(crate) async fn serve() -> io::Result<()> {
    let items = Arc::new(Mutex::new(BTreeMap::<String, Value>::new()));
    let app = Router::new().fallback(move |headers: HeaderMap, body: Bytes| async move {
        let request: Value = serde_json::from_slice(&body).unwrap_or_default();
        let mut items = items.lock().unwrap();
        let refused = json!({ "__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException" });
        let (status, answer) = match headers.get("x-amz-target").map(|target| target.as_bytes()) {
            Some(b"DynamoDB_20120810.GetItem") => (
                StatusCode::OK,
                json!({ "Item": items.get(&request["Key"]["id"].to_string()) }),
            ),
            _ => match items.entry(request["Item"]["id"].to_string()) {
                Entry::Occupied(_) => (StatusCode::BAD_REQUEST, refused),
                Entry::Vacant(free) => {
                    free.insert(request["Item"].clone());
                    (StatusCode::OK, json!({}))
                }
            },
        };
        (
            status,
            [("content-type", "application/x-amz-json-1.0")],
            answer.to_string(),
        )
    });
    axum::serve(TcpListener::bind("0.0.0.0:8000").await?, app).await
}
