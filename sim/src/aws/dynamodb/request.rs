//! What a request touches: its tables, its items, and what it does to each. Found before the request is performed, for
//! faults, for conflicts in time, and for replication.

use super::engine::Engine;
use super::key::ItemKey;
use serde_json::Value;

/// What a request does to one item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Reads it, or only checks a condition on it.
    Read,
    /// Puts or updates it.
    Write,
    /// Deletes it, which changes nothing if it does not exist.
    Delete,
}

/// One item of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Touch {
    pub(super) key: ItemKey,
    pub(super) access: Access,
}

/// A request and what it touches.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) operation: String,
    pub(super) body: Value,
    /// The tables it names, sorted.
    pub(super) tables: Vec<String>,
    /// Its items in request order. Empty if it names none (a scan), or if some key does not fit its table: such a
    /// request is refused as a whole by the engine.
    pub(super) touches: Vec<Touch>,
}

impl Request {
    pub(super) fn read(engine: &Engine, operation: String, body: Value) -> Self {
        let mut parts = Parts {
            engine,
            tables: Vec::new(),
            touches: Some(Vec::new()),
        };
        parts.collect(&operation, &body);
        let Parts {
            mut tables, touches, ..
        } = parts;
        tables.sort();
        tables.dedup();
        Self {
            operation,
            body,
            tables,
            touches: touches.unwrap_or_default(),
        }
    }

    /// Whether a read asks for the latest version.
    pub(super) fn consistent(&self) -> bool {
        self.body["ConsistentRead"].as_bool().unwrap_or(false)
    }

    /// Whether some PartiQL statement of the request writes.
    pub(super) fn statement_writes(&self) -> bool {
        let single = self.body["Statement"].as_str().into_iter();
        let listed = ["Statements", "TransactStatements"].into_iter();
        let listed = listed.filter_map(|member| self.body[member].as_array()).flatten();
        single
            .chain(listed.filter_map(|statement| statement["Statement"].as_str()))
            .any(|statement| {
                let verb = statement.split_whitespace().next().unwrap_or_default();
                !verb.eq_ignore_ascii_case("SELECT") && !verb.eq_ignore_ascii_case("EXISTS(SELECT")
            })
    }
}

struct Parts<'a> {
    engine: &'a Engine,
    tables: Vec<String>,
    /// `None` once a key did not fit.
    touches: Option<Vec<Touch>>,
}

impl Parts<'_> {
    fn collect(&mut self, operation: &str, body: &Value) {
        match operation {
            "PutItem" => self.touch(&body["TableName"], &body["Item"], Access::Write),
            "UpdateItem" => self.touch(&body["TableName"], &body["Key"], Access::Write),
            "DeleteItem" => self.touch(&body["TableName"], &body["Key"], Access::Delete),
            "GetItem" => self.touch(&body["TableName"], &body["Key"], Access::Read),
            "BatchWriteItem" => {
                for (table, requests) in members(&body["RequestItems"]) {
                    for request in elements(requests) {
                        let table = Value::String(table.clone());
                        if let Some(item) = request["PutRequest"].get("Item") {
                            self.touch(&table, item, Access::Write);
                        } else {
                            self.touch(&table, &request["DeleteRequest"]["Key"], Access::Delete);
                        }
                    }
                }
            }
            "BatchGetItem" => {
                for (table, request) in members(&body["RequestItems"]) {
                    for key in elements(&request["Keys"]) {
                        self.touch(&Value::String(table.clone()), key, Access::Read);
                    }
                }
            }
            "TransactWriteItems" | "TransactGetItems" => {
                for action in elements(&body["TransactItems"]) {
                    for (kind, access, attributes) in [
                        ("Put", Access::Write, "Item"),
                        ("Update", Access::Write, "Key"),
                        ("Delete", Access::Delete, "Key"),
                        ("ConditionCheck", Access::Read, "Key"),
                        ("Get", Access::Read, "Key"),
                    ] {
                        if let Some(action) = action.get(kind).filter(|action| !action.is_null()) {
                            self.touch(&action["TableName"], &action[attributes], access);
                        }
                    }
                }
            }
            "ExecuteStatement" => self.statement(&body["Statement"]),
            "BatchExecuteStatement" => {
                elements(&body["Statements"]).for_each(|statement| self.statement(&statement["Statement"]));
            }
            "ExecuteTransaction" => {
                elements(&body["TransactStatements"])
                    .for_each(|statement| self.statement(&statement["Statement"]));
            }
            _ => self.tables.extend(body["TableName"].as_str().map(str::to_owned)),
        }
    }

    fn touch(&mut self, table: &Value, attributes: &Value, access: Access) {
        let Some(table) = table.as_str() else {
            self.touches = None;
            return;
        };
        let key = self
            .engine
            .schema(table)
            .and_then(|schema| schema.item_key(table, attributes));
        self.tables.push(table.to_owned());
        match (key, &mut self.touches) {
            (Some(key), Some(touches)) => touches.push(Touch { key, access }),
            _ => self.touches = None,
        }
    }

    fn statement(&mut self, statement: &Value) {
        let mut words = statement.as_str().unwrap_or_default().split_whitespace();
        while let Some(word) = words.next() {
            if ["FROM", "INTO", "UPDATE"]
                .iter()
                .any(|keyword| word.eq_ignore_ascii_case(keyword))
            {
                let name = words.next().unwrap_or_default();
                // "table"."index" and table.index name the table first.
                let table = match name.strip_prefix('"') {
                    Some(quoted) => quoted.split('"').next(),
                    None => name.split(['.', '(', ';']).next(),
                };
                self.tables.extend(table.map(str::to_owned));
            }
        }
    }
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn elements(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn engine() -> Engine {
        let engine = Engine::new("us-east-1", "123456789012").expect("engine");
        let table = json!({
            "TableName": "things",
            "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
            "BillingMode": "PAY_PER_REQUEST",
        });
        engine.perform("CreateTable", table).expect("table");
        engine
    }

    fn touched(operation: &str, body: Value) -> Vec<(String, Access)> {
        let request = Request::read(&engine(), operation.to_owned(), body);
        request
            .touches
            .into_iter()
            .map(|touch| (touch.key.key, touch.access))
            .collect()
    }

    #[test]
    fn every_item_of_a_transaction_is_found_in_order() {
        let body = json!({"TransactItems": [
            {"Put": {"TableName": "things", "Item": {"pk": {"S": "a"}, "x": {"N": "1"}}}},
            {"ConditionCheck": {"TableName": "things", "Key": {"pk": {"S": "b"}}}},
            {"Delete": {"TableName": "things", "Key": {"pk": {"S": "c"}}}},
        ]});
        let key = |name: &str| format!(r#"{{"pk":{{"S":"{name}"}}}}"#);
        assert_eq!(
            touched("TransactWriteItems", body),
            [
                (key("a"), Access::Write),
                (key("b"), Access::Read),
                (key("c"), Access::Delete)
            ]
        );
    }

    #[test]
    fn a_request_with_an_unfit_key_touches_nothing() {
        let body = json!({"RequestItems": {"things": [
            {"PutRequest": {"Item": {"pk": {"S": "a"}}}},
            {"DeleteRequest": {"Key": {"other": {"S": "b"}}}},
        ]}});
        assert_eq!(touched("BatchWriteItem", body), []);
    }

    #[test]
    fn statements_name_their_tables() {
        let of = |statement: &str| {
            let body = json!({"Statement": statement});
            let request = Request::read(&engine(), "ExecuteStatement".to_owned(), body);
            let writes = request.statement_writes();
            (request.tables, writes)
        };
        assert_eq!(
            of(r#"SELECT * FROM "things"."by-x" WHERE x = 1"#),
            (vec!["things".to_owned()], false)
        );
        assert_eq!(
            of("insert into things value {'pk': 'a'}"),
            (vec!["things".to_owned()], true)
        );
        assert_eq!(
            of(r#"UPDATE "things" SET x = 1 WHERE pk = 'a'"#),
            (vec!["things".to_owned()], true)
        );
    }
}
