//! GetItem at its plainest: a table, a whole key, nothing else, and the item is there.
//!
//! The engine compiles its SQL anew for every request, which is most of the cost of a read; here it is compiled once. The
//! row is the engine's and goes through the engine's types. Whatever else there may be to say (no such table, no such
//! item, a key that does not fit, a projection) is left for the engine to say.

use super::key::KeySchema;
use dynoxide::Item;
use dynoxide::actions::get_item::GetItemResponse;
use dynoxide::storage::Storage;
use dynoxide::storage_backend::sql_builders;
use serde::Deserialize;
use serde_json::Value;

/// The answer to a `GetItem` with this body, or `None` if it is not for here.
pub(super) fn plain_read(storage: &Storage, schema: &KeySchema, body: &Value) -> Option<Value> {
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
    let text = |name: &String| key.get(name)?.to_key_string();
    let hash = text(&schema.hash)?;
    let range = schema.range.as_ref().map_or(Some(String::new()), text)?;
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

#[cfg(test)]
mod tests {
    use super::super::engine::Engine;
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
