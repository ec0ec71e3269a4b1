//! `payments migrate` where something was set up before.

use aws_sdk_dynamodb::{
    Client,
    types::{
        AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, MultiRegionConsistency,
        ScalarAttributeType,
    },
};

use crate::system::Surroundings;

/// A table with the gate's keys, in this Region alone, as an attempt leaves it that got no further.
async fn table_in_one_region(dynamodb: &Client, name: &str) {
    let mut create = dynamodb
        .create_table()
        .table_name(name)
        .billing_mode(BillingMode::PayPerRequest);
    for (key, kind) in [("pk", KeyType::Hash), ("sk", KeyType::Range)] {
        let attribute = AttributeDefinition::builder()
            .attribute_name(key)
            .attribute_type(ScalarAttributeType::S);
        let element = KeySchemaElement::builder().attribute_name(key).key_type(kind);
        create = create
            .attribute_definitions(attribute.build().unwrap())
            .key_schema(element.build().unwrap());
    }
    create.send().await.unwrap();
    dynamodb.describe_table().table_name(name).send().await.unwrap();
}

/// Whether a table is strongly consistent across Regions, and how many other Regions it names.
async fn consistency(dynamodb: &Client, name: &str) -> (bool, usize) {
    let described = dynamodb.describe_table().table_name(name).send().await.unwrap();
    let table = described.table.unwrap();
    let strong = table.multi_region_consistency() == Some(&MultiRegionConsistency::Strong);
    (strong, table.replicas().len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gates_table_in_one_region_is_extended_or_refused_but_never_taken_as_it_is() {
    let set_up = || Surroundings::start("fsync = off");
    let surroundings = tokio::task::spawn_blocking(set_up).await.unwrap();
    let dynamodb = surroundings.dynamodb();
    let migrate = |table| {
        [
            "migrate",
            "--gate-table",
            table,
            "--gate-replicas",
            "us-east-2,us-west-2",
        ]
    };

    table_in_one_region(&dynamodb, "empty").await;
    assert_eq!(consistency(&dynamodb, "empty").await, (false, 0));
    for _ in ["extends it", "finds nothing to do"] {
        tokio::task::block_in_place(|| surroundings.program(&migrate("empty")));
        assert_eq!(consistency(&dynamodb, "empty").await, (true, 2));
    }

    table_in_one_region(&dynamodb, "used").await;
    let text = |value: &str| AttributeValue::S(value.to_owned());
    let put = dynamodb
        .put_item()
        .table_name("used")
        .item("pk", text("somebody"));
    put.item("sk", text("else's")).send().await.unwrap();
    let refused = tokio::task::block_in_place(|| surroundings.program_fails(&migrate("used")));
    assert!(refused.contains("must be empty"), "{refused}");
    assert_eq!(consistency(&dynamodb, "used").await, (false, 0));
}
