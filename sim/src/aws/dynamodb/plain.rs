//! Reading and writing one item at their plainest.
//!
//! The engine compiles its SQL anew for every request, which is most of what a request costs; here it is compiled once.
//! Rows are the engine's and go through the engine's types.
//!
//! - Read: `GetItem` of a table and a whole key, nothing else, where the item is there.
//! - Write: an item that the engine itself has made, into a table of which nothing else has to hear: no index, no stream.
//!
//! Whatever else there may be to say (no such table, no such item, a key that does not fit, a projection) is left for the
//! engine to say.

use super::key::KeySchema;
use dynoxide::Item;
use dynoxide::actions::get_item::GetItemResponse;
use dynoxide::storage::{Storage, compute_hash_prefix};
use dynoxide::storage_backend::{BaseItemRow, sql_builders};
use dynoxide::types::item_size;
use serde::Deserialize;
use serde_json::Value;

/// The answer to a `GetItem` with this body, or `None` if it is not for here.
pub(super) fn read(storage: &Storage, schema: &KeySchema, body: &Value) -> Option<Value> {
    let plain = body
        .as_object()?
        .iter()
        .all(|(member, value)| match member.as_str() {
            "Key" | "TableName" => true,
            "ConsistentRead" => value.is_boolean(),
            _ => false,
        });
    if !plain {
        return None;
    }
    let key = Item::deserialize(&body["Key"]).ok()?;
    if key.len() != 1 + usize::from(schema.range.is_some()) {
        return None;
    }
    let (hash, range) = row_key(schema, &key)?;
    let (sql, _) = sql_builders::get_item(body["TableName"].as_str()?, &hash, &range);
    let mut select = storage.conn().prepare_cached(&sql).ok()?;
    let json: String = select.query_row([&hash, &range], |row| row.get(0)).ok()?;
    let item: Item = serde_json::from_str(&json).ok()?;
    // The text of a key does not tell its type.
    if key.iter().any(|(name, value)| item.get(name) != Some(value)) {
        return None;
    }
    let answer = GetItemResponse {
        item: Some(item),
        consumed_capacity: None,
    };
    serde_json::to_value(answer).ok()
}

/// Makes `image` be the item with its key. `None` if that is not for here: then nothing has changed.
pub(super) fn write(storage: &Storage, schema: &KeySchema, table: &str, image: &Value) -> Option<()> {
    let metadata = storage.get_table_metadata(table).ok()??;
    let heard_by = [
        metadata.gsi_definitions,
        metadata.lsi_definitions,
        metadata.vector_index_definitions,
    ];
    if metadata.stream_enabled || heard_by.iter().any(Option::is_some) {
        return None;
    }
    let item = Item::deserialize(image).ok()?;
    let (pk, sk) = row_key(schema, &item)?;
    let row = BaseItemRow {
        pk,
        sk,
        item_json: image.to_string(),
        item_size: item_size(&item),
        cached_at: None,
        hash_prefix: compute_hash_prefix(item.get(&schema.hash)?),
    };
    storage.put_base_items(table, &[row]).ok()
}

/// A key as the engine's rows have it.
fn row_key(schema: &KeySchema, item: &Item) -> Option<(String, String)> {
    let text = |name: &String| item.get(name)?.to_key_string();
    Some((
        text(&schema.hash)?,
        schema.range.as_ref().map_or(Some(String::new()), text)?,
    ))
}

#[cfg(test)]
mod tests {
    use super::super::engine::Engine;
    use super::write;
    use serde_json::{Value, json};

    fn engine(kind: &str, key: Value) -> Engine {
        let engine = Engine::new("us-east-1", "123456789012").expect("engine");
        let table = json!({
            "TableName": "things",
            "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            "AttributeDefinitions": [
                {"AttributeName": "pk", "AttributeType": "S"},
                {"AttributeName": "sk", "AttributeType": kind},
            ],
            "BillingMode": "PAY_PER_REQUEST",
        });
        engine.perform("CreateTable", table).expect("table");
        let item = json!({
            "pk": {"S": "a"}, "sk": key, "numbers": {"NS": ["3", "1", "20"]}, "list": {"L": [{"NULL": true}, {"M": {}}]},
        });
        let put = json!({"TableName": "things", "Item": item});
        engine.perform("PutItem", put).expect("put");
        engine
    }

    /// What a read of this key gives, once plain and once with a member that leaves it to the engine.
    fn both(engine: &Engine, key: &Value) -> [Result<Value, String>; 2] {
        [
            json!({"TableName": "things", "Key": key, "ConsistentRead": true}),
            json!({"TableName": "things", "Key": key, "ReturnConsumedCapacity": "NONE"}),
        ]
        .map(|body| engine.perform("GetItem", body).map_err(|error| error.to_string()))
    }

    #[test]
    fn a_plain_read_answers_what_the_engine_answers() {
        for (kind, key) in [
            ("S", json!({"S": "1"})),
            ("N", json!({"N": "1"})),
            ("B", json!({"B": "MQ=="})),
        ] {
            let engine = engine(kind, key.clone());
            for asked in [
                json!({"pk": {"S": "a"}, "sk": key}),
                json!({"pk": {"S": "a"}, "sk": {"S": "1"}}),
                json!({"pk": {"S": "a"}, "sk": {"N": "1"}}),
                json!({"pk": {"S": "a"}, "sk": {"N": "1.0"}}),
                json!({"pk": {"S": "a"}, "sk": {"B": "MQ=="}}),
                json!({"pk": {"S": "a"}, "sk": {"S": ""}}),
                json!({"pk": {"S": "b"}, "sk": key}),
                json!({"pk": {"S": "a"}}),
                json!({"pk": {"S": "a"}, "sk": key, "numbers": {"N": "1"}}),
                json!({"pk": {"S": "a"}, "other": key}),
                json!({"pk": "a", "sk": key}),
                Value::Null,
            ] {
                let [plain, engines] = both(&engine, &asked);
                assert_eq!(plain, engines, "{kind} {asked}");
            }
            let [plain, _] = both(&engine, &json!({"pk": {"S": "a"}, "sk": key}));
            assert_eq!(
                plain.expect("item")["Item"]["numbers"],
                json!({"NS": ["1", "3", "20"]})
            );
        }
    }

    #[test]
    fn a_plain_write_leaves_the_row_that_the_engine_would() {
        for table in [
            json!({}),
            json!({"StreamEnabled": true, "StreamViewType": "KEYS_ONLY"}),
        ] {
            let rows = [false, true].map(|plain| {
                let engine = engine("N", json!({"N": "1"}));
                if table["StreamEnabled"] == true {
                    let stream = json!({"TableName": "things", "StreamSpecification": table});
                    engine.perform("UpdateTable", stream).expect("stream");
                }
                let schema = engine.schema("things").expect("schema");
                let item = json!({"pk": {"S": "a"}, "sk": {"N": "1"}, "set": {"SS": ["b", "a"]}, "number": {"N": "1.50"}});
                let put = json!({"TableName": "things", "Item": item});
                engine.perform("PutItem", put).expect("put");
                let key = schema.item_key("things", &item).expect("key");
                let image = engine.image(&key).expect("image").expect("item");
                let again = || write(&engine.storage(), &schema, "things", &image);
                assert!(!plain || again().is_some() != (table["StreamEnabled"] == true));
                engine.row("things")
            });
            assert_eq!(rows[0], rows[1]);
        }
    }

    #[test]
    fn a_plain_read_sees_a_table_that_was_made_again() {
        let engine = engine("S", json!({"S": "1"}));
        let key = json!({"pk": {"S": "a"}, "sk": {"S": "1"}});
        assert!(
            both(&engine, &key)[0]
                .as_ref()
                .is_ok_and(|answer| answer["Item"].is_object())
        );
        let table = json!({"TableName": "things"});
        engine.perform("DeleteTable", table).expect("deleted");
        let [plain, engines] = both(&engine, &key);
        assert!(plain.is_err());
        assert_eq!(plain, engines);
    }
}
