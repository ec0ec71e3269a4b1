"""The protocol suite: DynamoDB as boto3, an SDK that nobody here wrote, understands it.

The endpoints of three Regions come in DYNAMODB_ENDPOINTS, as `region=url,region=url,region=url`.
"""

import os
import time
import unittest
import uuid
from decimal import Decimal

import boto3
from boto3.dynamodb.conditions import Attr, Key
from botocore.config import Config
from botocore.exceptions import ClientError

ENDPOINTS = dict(pair.split("=", 1) for pair in os.environ["DYNAMODB_ENDPOINTS"].split(","))
REGIONS = sorted(ENDPOINTS)
CREDENTIALS = {"aws_access_key_id": "AKIDEXAMPLE", "aws_secret_access_key": "secret"}


def client(service="dynamodb", region=REGIONS[0], **config):
    return boto3.client(
        service,
        region_name=region,
        endpoint_url=ENDPOINTS[region],
        config=Config(**config) if config else None,
        **CREDENTIALS,
    )


def resource(region=REGIONS[0]):
    return boto3.resource("dynamodb", region_name=region, endpoint_url=ENDPOINTS[region], **CREDENTIALS)


def new_table(sorted_by_number=False, **extra):
    name = "table-" + uuid.uuid4().hex
    keys = [{"AttributeName": "pk", "KeyType": "HASH"}]
    attributes = [{"AttributeName": "pk", "AttributeType": "S"}]
    if sorted_by_number:
        keys.append({"AttributeName": "sk", "KeyType": "RANGE"})
        attributes.append({"AttributeName": "sk", "AttributeType": "N"})
    attributes += extra.pop("Attributes", [])
    dynamodb = client()
    dynamodb.create_table(
        TableName=name, KeySchema=keys, AttributeDefinitions=attributes, BillingMode="PAY_PER_REQUEST", **extra
    )
    dynamodb.get_waiter("table_exists").wait(TableName=name)
    return name


class Protocol(unittest.TestCase):
    def refused(self, code, call, *args, **kwargs):
        with self.assertRaises(ClientError) as caught:
            call(*args, **kwargs)
        self.assertEqual(caught.exception.response["Error"]["Code"], code, caught.exception)
        return caught.exception.response

    def test_conditions_and_all_old(self):
        dynamodb, name = client(), new_table()
        put = {"TableName": name, "ConditionExpression": "attribute_not_exists(pk)"}
        dynamodb.put_item(Item={"pk": {"S": "k"}, "owner": {"S": "one"}}, **put)
        bare = self.refused(
            "ConditionalCheckFailedException", dynamodb.put_item, Item={"pk": {"S": "k"}}, **put
        )
        self.assertNotIn("Item", bare)
        told = self.refused(
            "ConditionalCheckFailedException",
            dynamodb.put_item,
            Item={"pk": {"S": "k"}, "owner": {"S": "two"}},
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
            **put,
        )
        self.assertEqual(told["Item"], {"pk": {"S": "k"}, "owner": {"S": "one"}})
        self.assertEqual(told["ResponseMetadata"]["HTTPStatusCode"], 400)
        self.assertRegex(told["ResponseMetadata"]["RequestId"], "^[A-Z0-9]{52}$")

    def test_expressions(self):
        table = resource().Table(new_table())
        table.put_item(Item={"pk": "a", "count": 1, "tags": {"x"}, "deep": {"list": [1, 2]}, "price": Decimal("1.10")})
        answer = table.update_item(
            Key={"pk": "a"},
            UpdateExpression="SET #c = #c + :one, deep.#l[1] = :nine REMOVE price ADD tags :more",
            ConditionExpression=Attr("count").eq(1) & Attr("price").between(Decimal(1), Decimal(2)),
            ExpressionAttributeNames={"#c": "count", "#l": "list"},
            ExpressionAttributeValues={":one": 1, ":nine": 9, ":more": {"y"}},
            ReturnValues="ALL_NEW",
        )
        self.assertEqual(answer["Attributes"], {"pk": "a", "count": 2, "tags": {"x", "y"}, "deep": {"list": [1, 9]}})
        got = table.get_item(Key={"pk": "a"}, ProjectionExpression="deep.#l", ExpressionAttributeNames={"#l": "list"})
        self.assertEqual(got["Item"], {"deep": {"list": [1, 9]}})
        self.refused(
            "ValidationException",
            table.update_item,
            Key={"pk": "a"},
            UpdateExpression="SET x = :unused_name",
        )

    def test_cancellation_reasons(self):
        dynamodb, name = client(), new_table()
        dynamodb.put_item(TableName=name, Item={"pk": {"S": "taken"}, "by": {"S": "one"}})
        put = {"TableName": name, "ConditionExpression": "attribute_not_exists(pk)"}
        response = self.refused(
            "TransactionCanceledException",
            dynamodb.transact_write_items,
            TransactItems=[
                {"Put": {"Item": {"pk": {"S": "free"}}, **put}},
                {
                    "Put": {
                        "Item": {"pk": {"S": "taken"}},
                        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
                        **put,
                    }
                },
            ],
        )
        reasons = response["CancellationReasons"]
        self.assertEqual(reasons[0], {"Code": "None"})
        self.assertEqual(reasons[1]["Code"], "ConditionalCheckFailed")
        self.assertEqual(reasons[1]["Message"], "The conditional request failed")
        self.assertEqual(reasons[1]["Item"], {"pk": {"S": "taken"}, "by": {"S": "one"}})
        self.assertNotIn("Item", dynamodb.get_item(TableName=name, Key={"pk": {"S": "free"}}))

    def test_transactions_with_a_token(self):
        dynamodb, name = client(), new_table()

        def add(token, amount):
            update = {
                "TableName": name,
                "Key": {"pk": {"S": "sum"}},
                "UpdateExpression": "ADD v :amount",
                "ExpressionAttributeValues": {":amount": {"N": str(amount)}},
            }
            return dynamodb.transact_write_items(TransactItems=[{"Update": update}], ClientRequestToken=token)

        add("token-a", 5)
        add("token-a", 5)
        self.refused("IdempotentParameterMismatchException", add, "token-a", 6)
        add("token-b", 6)
        got = dynamodb.transact_get_items(TransactItems=[{"Get": {"TableName": name, "Key": {"pk": {"S": "sum"}}}}])
        self.assertEqual(got["Responses"][0]["Item"]["v"], {"N": "11"})

    def test_transaction_limits(self):
        dynamodb, name = client(), new_table()
        actions = [{"Put": {"TableName": name, "Item": {"pk": {"S": str(n)}}}} for n in range(101)]
        dynamodb.transact_write_items(TransactItems=actions[:100])
        self.refused("ValidationException", dynamodb.transact_write_items, TransactItems=actions)

    def test_pagination(self):
        table = resource().Table(new_table(sorted_by_number=True))
        with table.batch_writer() as batch:
            for number in range(30):
                batch.put_item(Item={"pk": "p", "sk": number, "odd": number % 2})
        pages = client().get_paginator("query").paginate(
            TableName=table.name,
            KeyConditionExpression="pk = :p",
            ExpressionAttributeValues={":p": {"S": "p"}},
            ScanIndexForward=False,
            PaginationConfig={"PageSize": 7},
        )
        pages = list(pages)
        self.assertEqual([page["Count"] for page in pages], [7, 7, 7, 7, 2])
        self.assertEqual([int(i["sk"]["N"]) for page in pages for i in page["Items"]], list(reversed(range(30))))
        odd = table.query(KeyConditionExpression=Key("pk").eq("p") & Key("sk").lt(10), FilterExpression=Attr("odd").eq(1))
        self.assertEqual((odd["Count"], odd["ScannedCount"]), (5, 10))

    def test_large_pages_end_at_a_megabyte(self):
        dynamodb, name = client(), new_table(sorted_by_number=True)
        for number in range(5):
            item = {"pk": {"S": "p"}, "sk": {"N": str(number)}, "fill": {"S": "x" * 300_000}}
            dynamodb.put_item(TableName=name, Item=item)
        page = dynamodb.scan(TableName=name)
        self.assertIn("LastEvaluatedKey", page)
        self.assertLess(page["Count"], 5)

    def test_secondary_index(self):
        name = new_table(
            Attributes=[{"AttributeName": "email", "AttributeType": "S"}],
            GlobalSecondaryIndexes=[
                {
                    "IndexName": "by-email",
                    "KeySchema": [{"AttributeName": "email", "KeyType": "HASH"}],
                    "Projection": {"ProjectionType": "ALL"},
                }
            ],
        )
        table = resource().Table(name)
        table.put_item(Item={"pk": "a", "email": "x@example.com"})
        table.put_item(Item={"pk": "b"})
        found = table.query(IndexName="by-email", KeyConditionExpression=Key("email").eq("x@example.com"))
        self.assertEqual([item["pk"] for item in found["Items"]], ["a"])
        self.assertEqual(table.scan(IndexName="by-email")["Count"], 1)
        self.refused(
            "ValidationException",
            table.query,
            IndexName="by-email",
            KeyConditionExpression=Key("email").eq("x"),
            ConsistentRead=True,
        )

    def test_batch_limits(self):
        dynamodb, name = client(), new_table()
        writes = [{"PutRequest": {"Item": {"pk": {"S": str(n)}}}} for n in range(26)]
        self.refused("ValidationException", dynamodb.batch_write_item, RequestItems={name: writes})
        twice = [writes[0], writes[0]]
        self.refused("ValidationException", dynamodb.batch_write_item, RequestItems={name: twice})
        self.assertEqual(dynamodb.batch_write_item(RequestItems={name: writes[:25]})["UnprocessedItems"], {})
        keys = {"Keys": [{"pk": {"S": str(n)}} for n in range(101)]}
        self.refused("ValidationException", dynamodb.batch_get_item, RequestItems={name: keys})
        keys["Keys"] = keys["Keys"][:100]
        self.assertEqual(len(dynamodb.batch_get_item(RequestItems={name: keys})["Responses"][name]), 25)

    def test_streams(self):
        name = new_table(StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"})
        dynamodb, streams = client(), client("dynamodbstreams")
        dynamodb.put_item(TableName=name, Item={"pk": {"S": "a"}, "v": {"N": "1"}})
        dynamodb.put_item(TableName=name, Item={"pk": {"S": "a"}, "v": {"N": "2"}})
        dynamodb.delete_item(TableName=name, Key={"pk": {"S": "a"}})
        arn = dynamodb.describe_table(TableName=name)["Table"]["LatestStreamArn"]
        self.assertEqual([s["StreamArn"] for s in streams.list_streams(TableName=name)["Streams"]], [arn])
        shards = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
        records = []
        for shard in shards:
            iterator = streams.get_shard_iterator(
                StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
            )["ShardIterator"]
            records += streams.get_records(ShardIterator=iterator)["Records"]
        self.assertEqual([r["eventName"] for r in records], ["INSERT", "MODIFY", "REMOVE"])
        self.assertEqual(records[1]["dynamodb"]["OldImage"]["v"], {"N": "1"})
        self.assertEqual(records[1]["dynamodb"]["NewImage"]["v"], {"N": "2"})
        numbers = [int(r["dynamodb"]["SequenceNumber"]) for r in records]
        self.assertEqual(numbers, sorted(set(numbers)))

    def test_partiql(self):
        dynamodb, name = client(), new_table()
        dynamodb.execute_statement(Statement=f"INSERT INTO \"{name}\" VALUE {{'pk': ?, 'v': 1}}", Parameters=[{"S": "a"}])
        self.refused(
            "DuplicateItemException",
            dynamodb.execute_statement,
            Statement=f"INSERT INTO \"{name}\" VALUE {{'pk': 'a'}}",
        )
        rows = dynamodb.execute_statement(Statement=f"SELECT v FROM \"{name}\" WHERE pk = 'a'")
        self.assertEqual(rows["Items"], [{"v": {"N": "1"}}])

    def test_bad_requests(self):
        dynamodb, name = client(), new_table()
        self.refused("ResourceNotFoundException", dynamodb.get_item, TableName="no-such-table", Key={"pk": {"S": "a"}})
        self.refused("ValidationException", dynamodb.get_item, TableName=name, Key={"other": {"S": "a"}})
        self.refused("ValidationException", dynamodb.put_item, TableName=name, Item={"pk": {"S": ""}})
        self.refused("ValidationException", dynamodb.put_item, TableName=name, Item={"pk": {"S": "n"}, "v": {"N": "one"}})
        big = {"pk": {"S": "big"}, "fill": {"S": "x" * 410_000}}
        self.refused("ValidationException", dynamodb.put_item, TableName=name, Item=big)
        self.refused("UnknownOperationException", dynamodb.list_backups)

    def test_signatures(self):
        wrong_region = boto3.client(
            "dynamodb", region_name="eu-west-3", endpoint_url=ENDPOINTS[REGIONS[0]], **CREDENTIALS
        )
        self.refused("InvalidSignatureException", wrong_region.list_tables)

    def test_global_table(self):
        name = new_table()
        east, other = client(), client(region=REGIONS[1])
        east.update_table(TableName=name, ReplicaUpdates=[{"Create": {"RegionName": REGIONS[1]}}])
        described = other.describe_table(TableName=name)["Table"]
        self.assertEqual(described["GlobalTableVersion"], "2019.11.21")
        self.assertEqual([r["RegionName"] for r in described["Replicas"]], [REGIONS[0]])
        east.put_item(TableName=name, Item={"pk": {"S": "a"}})
        for _ in range(100):
            if "Item" in other.get_item(TableName=name, Key={"pk": {"S": "a"}}):
                return
            time.sleep(0.05)
        self.fail("the item did not reach the other Region within 5 s")

    def test_strong_global_table(self):
        name = new_table()
        east, others = client(), [client(region=region) for region in REGIONS[1:]]
        east.update_table(
            TableName=name,
            ReplicaUpdates=[{"Create": {"RegionName": region}} for region in REGIONS[1:]],
            MultiRegionConsistency="STRONG",
        )
        self.assertEqual(others[0].describe_table(TableName=name)["Table"]["MultiRegionConsistency"], "STRONG")
        east.put_item(TableName=name, Item={"pk": {"S": "a"}, "v": {"N": "1"}})
        for other in others:
            got = other.get_item(TableName=name, Key={"pk": {"S": "a"}}, ConsistentRead=True)
            self.assertEqual(got["Item"]["v"], {"N": "1"})
            self.refused(
                "ConditionalCheckFailedException",
                other.put_item,
                TableName=name,
                Item={"pk": {"S": "a"}},
                ConditionExpression="attribute_not_exists(pk)",
            )
        put = {"Put": {"TableName": name, "Item": {"pk": {"S": "b"}}}}
        self.refused("ValidationException", east.transact_write_items, TransactItems=[put])


if __name__ == "__main__":
    unittest.main(verbosity=2)
