"""SQS, EventBridge and routing control as boto3 sees them: an SDK that nobody here wrote.

Endpoints come from the environment, as `sumzero local` prints it for one Region. Exits 0 if every check holds, and names
the first that does not.
"""

import hashlib
import json
import os
import sys
import time
import traceback

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

CONFIG = Config(retries={"mode": "standard", "max_attempts": 3}, read_timeout=30)
SQS = boto3.client("sqs", config=CONFIG)
EVENTS = boto3.client("events", config=CONFIG)
ROUTING = [
    boto3.client("route53-recovery-cluster", region_name=region, endpoint_url=url, config=CONFIG)
    for region, url in (pair.split("=", 1) for pair in os.environ["SUMZERO_ROUTING_ENDPOINTS"].split(","))
]


def refused(code, call, **arguments):
    """Checks that a call is refused with this code."""
    try:
        call(**arguments)
    except ClientError as error:
        assert error.response["Error"]["Code"] == code, error.response["Error"]
        return error.response
    raise AssertionError(f"{call.__name__} was not refused")


def queue(name, **attributes):
    """Makes a queue; gives its URL and ARN."""
    url = SQS.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    arn = SQS.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    return url, arn


def receive(url, **arguments):
    """Receives up to ten messages with all their attributes."""
    arguments = {"MaxNumberOfMessages": 10, "AttributeNames": ["All"], "MessageAttributeNames": ["All"]} | arguments
    return SQS.receive_message(QueueUrl=url, **arguments).get("Messages", [])


def test_digests_are_those_the_client_computes():
    url, _ = queue("digests")
    attributes = {
        "text": {"DataType": "String", "StringValue": "grüße"},
        "number": {"DataType": "Number.int", "StringValue": "42"},
        "bytes": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
    }
    sent = SQS.send_message(QueueUrl=url, MessageBody="grüße", MessageAttributes=attributes)
    assert sent["MD5OfMessageBody"] == hashlib.md5("grüße".encode()).hexdigest()
    digest = hashlib.md5()
    for name in sorted(attributes):
        attribute = attributes[name]
        binary = attribute.get("BinaryValue")
        value = binary if binary is not None else attribute["StringValue"].encode()
        for part in (name.encode(), attribute["DataType"].encode()):
            digest.update(len(part).to_bytes(4, "big") + part)
        digest.update((b"\x02" if binary is not None else b"\x01") + len(value).to_bytes(4, "big") + value)
    assert sent["MD5OfMessageAttributes"] == digest.hexdigest()
    (message,) = receive(url)
    assert message["MessageAttributes"] == attributes
    assert message["MD5OfMessageAttributes"] == digest.hexdigest()
    SQS.change_message_visibility(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0)
    (partly,) = receive(url, MessageAttributeNames=["te", "num.*"], AttributeNames=["ApproximateReceiveCount"])
    assert set(partly["MessageAttributes"]) == {"number"}
    assert partly["Attributes"] == {"ApproximateReceiveCount": "2"}


def test_fifo_deduplicates_and_keeps_group_order():
    url, _ = queue("orders.fifo", FifoQueue="true", ContentBasedDeduplication="true")
    ids = {SQS.send_message(QueueUrl=url, MessageBody="same", MessageGroupId="a")["MessageId"] for _ in range(3)}
    assert len(ids) == 1
    explicit = [
        SQS.send_message(QueueUrl=url, MessageBody=body, MessageGroupId="a", MessageDeduplicationId="id")
        for body in ("first", "second")
    ]
    assert explicit[0]["SequenceNumber"] == explicit[1]["SequenceNumber"]
    for group in ("a", "b"):
        for n in range(3):
            SQS.send_message(QueueUrl=url, MessageBody=f"{group}{n}", MessageGroupId=group)
    got = receive(url)
    bodies = [message["Body"] for message in got]
    assert [b for b in bodies if not b.startswith("b")] == ["same", "first", "a0", "a1", "a2"], bodies
    assert [b for b in bodies if b.startswith("b")] == ["b0", "b1", "b2"], bodies
    numbers = [m["Attributes"]["SequenceNumber"] for m in got if m["Attributes"]["MessageGroupId"] == "a"]
    assert numbers == sorted(numbers)
    assert receive(url) == [], "both groups are in flight"
    again = SQS.receive_message(QueueUrl=url, ReceiveRequestAttemptId="attempt")
    assert "Messages" not in again
    refused("InvalidParameterValue", SQS.send_message, QueueUrl=url, MessageBody="x", MessageGroupId="a",
            MessageDeduplicationId="sp ace")
    refused("MissingParameter", SQS.send_message, QueueUrl=url, MessageBody="x")
    refused("InvalidParameterValue", SQS.send_message, QueueUrl=url, MessageBody="x", MessageGroupId="a",
            DelaySeconds=5)


def test_receive_attempts_repeat_their_answer():
    url, _ = queue("attempts.fifo", FifoQueue="true", ContentBasedDeduplication="true")
    for body in ("x", "y"):
        SQS.send_message(QueueUrl=url, MessageBody=body, MessageGroupId="g")
    first, second = (receive(url, ReceiveRequestAttemptId="one") for _ in range(2))
    handles = [[m["ReceiptHandle"] for m in got] for got in (first, second)]
    assert handles[0] == handles[1] and len(handles[0]) == 2
    assert receive(url, ReceiveRequestAttemptId="two") == []


def test_redrive_moves_what_is_received_too_often():
    dead, arn = queue("dead")
    url, source = queue("source", VisibilityTimeout="0",
                        RedrivePolicy=json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 2}))
    sent = SQS.send_message(QueueUrl=url, MessageBody="poison")
    for count in ("1", "2"):
        (message,) = receive(url)
        assert message["Attributes"]["ApproximateReceiveCount"] == count
    assert receive(url) == []
    (letter,) = receive(dead)
    assert letter["MessageId"] == sent["MessageId"]
    assert letter["Attributes"]["DeadLetterQueueSourceArn"] == source
    assert SQS.list_dead_letter_source_queues(QueueUrl=dead)["queueUrls"] == [url]
    refused("InvalidParameterValue", SQS.set_queue_attributes, QueueUrl=url, Attributes={
        "RedrivePolicy": json.dumps({"deadLetterTargetArn": arn + "-none", "maxReceiveCount": 2})})
    refused("InvalidParameterValue", SQS.create_queue, QueueName="kind.fifo", Attributes={
        "FifoQueue": "true", "RedrivePolicy": json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 2})})


def test_long_polls_wait_and_end_with_what_they_wait_for():
    url, _ = queue("poll")
    began = time.monotonic()
    assert receive(url, WaitTimeSeconds=1) == []
    assert time.monotonic() - began >= 0.99
    SQS.send_message(QueueUrl=url, MessageBody="late", DelaySeconds=1)
    began = time.monotonic()
    (message,) = receive(url, WaitTimeSeconds=20, VisibilityTimeout=1)
    assert 0.9 <= time.monotonic() - began < 10
    (message,) = receive(url, WaitTimeSeconds=20)
    assert message["Attributes"]["ApproximateReceiveCount"] == "2", "its visibility timeout ended the poll"
    SQS.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    refused("InvalidParameterValue", SQS.receive_message, QueueUrl=url, WaitTimeSeconds=21)


def test_batches_fail_entry_by_entry():
    url, _ = queue("batch")
    entries = [{"Id": str(n), "MessageBody": "x", "DelaySeconds": 901 if n % 2 else 0} for n in range(10)]
    sent = SQS.send_message_batch(QueueUrl=url, Entries=entries)
    assert [e["Id"] for e in sent["Successful"]] == ["0", "2", "4", "6", "8"]
    assert {(e["Code"], e["SenderFault"]) for e in sent["Failed"]} == {("InvalidParameterValue", True)}
    handles = [m["ReceiptHandle"] for m in receive(url)]
    assert len(handles) == 5
    batch = [{"Id": str(n), "ReceiptHandle": handle} for n, handle in enumerate(handles + ["forged"])]
    timeouts = [entry | {"VisibilityTimeout": 60} for entry in batch]
    changed = SQS.change_message_visibility_batch(QueueUrl=url, Entries=timeouts)
    assert [e["Id"] for e in changed["Failed"]] == ["5"]
    deleted = SQS.delete_message_batch(QueueUrl=url, Entries=batch)
    assert len(deleted["Successful"]) == 5
    assert deleted["Failed"][0]["Code"] == "ReceiptHandleIsInvalid"
    name = "AWS.SimpleQueueService."
    refused(name + "TooManyEntriesInBatchRequest", SQS.send_message_batch, QueueUrl=url,
            Entries=[{"Id": str(n), "MessageBody": "x"} for n in range(11)])
    refused(name + "EmptyBatchRequest", SQS.send_message_batch, QueueUrl=url, Entries=[])
    refused(name + "BatchEntryIdsNotDistinct", SQS.send_message_batch, QueueUrl=url,
            Entries=[{"Id": "a", "MessageBody": "x"}] * 2)
    refused(name + "BatchRequestTooLong", SQS.send_message_batch, QueueUrl=url,
            Entries=[{"Id": str(n), "MessageBody": "x" * 600_000} for n in range(2)])


def test_sqs_errors_have_the_codes_that_clients_know():
    url, _ = queue("errors", DelaySeconds="1")
    response = refused("AWS.SimpleQueueService.NonExistentQueue", SQS.get_queue_url, QueueName="none")
    assert response["Error"]["QueryErrorCode"] == "QueueDoesNotExist"
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 400
    refused("QueueAlreadyExists", SQS.create_queue, QueueName="errors", Attributes={"DelaySeconds": "2"})
    refused("InvalidAttributeName", SQS.set_queue_attributes, QueueUrl=url, Attributes={"Nonsense": "1"})
    refused("InvalidAttributeValue", SQS.set_queue_attributes, QueueUrl=url, Attributes={"DelaySeconds": "x"})
    refused("InvalidMessageContents", SQS.send_message, QueueUrl=url, MessageBody="\x00")
    refused("AWS.SimpleQueueService.UnsupportedOperation", SQS.start_message_move_task, SourceArn="arn")
    try:
        SQS.get_queue_url(QueueName="none")
    except SQS.exceptions.QueueDoesNotExist:
        pass


def rule(name, pattern, target):
    EVENTS.put_rule(Name=name, EventPattern=json.dumps(pattern))
    put = EVENTS.put_targets(Rule=name, Targets=[target])
    assert put["FailedEntryCount"] == 0


def test_put_events_fails_entry_by_entry():
    url, arn = queue("events")
    rule("paid", {"source": ["shop"], "detail-type": ["Paid"], "detail": {"amount": [{"numeric": [">=", 10]}]}},
         {"Id": "queue", "Arn": arn})
    good = {"Source": "shop", "DetailType": "Paid", "Detail": json.dumps({"amount": 10, "note": "grüße"})}
    put = EVENTS.put_events(Entries=[
        good,
        good | {"Detail": "{"},
        {"Source": "shop", "Detail": "{}"},
        good | {"Source": "aws.shop"},
        good | {"Detail": json.dumps({"amount": 9})},
    ])
    codes = [entry.get("ErrorCode") for entry in put["Entries"]]
    assert codes == [None, "MalformedDetail", "InvalidArgument", "NotAuthorizedForSource", None], codes
    assert put["FailedEntryCount"] == 3
    (message,) = receive(url, WaitTimeSeconds=10)
    event = json.loads(message["Body"])
    assert event["id"] == put["Entries"][0]["EventId"]
    assert event["detail"] == {"amount": 10, "note": "grüße"}
    assert set(event) == {"version", "id", "detail-type", "source", "account", "time", "region", "resources", "detail"}
    refused("ValidationException", EVENTS.put_events, Entries=[good] * 11)
    refused("InvalidEventPatternException", EVENTS.put_rule, Name="bad", EventPattern='{"a": 1}')
    refused("ResourceNotFoundException", EVENTS.describe_rule, Name="none")
    assert receive(url) == []


def test_an_undeliverable_event_becomes_a_dead_letter():
    dead, dead_arn = queue("event-dead")
    gone = dead_arn.replace("event-dead", "gone")
    rule("gone", {"detail-type": ["Gone"]}, {"Id": "queue", "Arn": gone, "DeadLetterConfig": {"Arn": dead_arn}})
    EVENTS.put_events(Entries=[{"Source": "shop", "DetailType": "Gone", "Detail": "{}"}])
    (letter,) = receive(dead, WaitTimeSeconds=10)
    attributes = {name: value["StringValue"] for name, value in letter["MessageAttributes"].items()}
    assert attributes["TARGET_ARN"] == gone and attributes["ERROR_CODE"] == "NO_RESOURCE", attributes


def test_routing_controls_change_at_any_endpoint():
    controls = ROUTING[0].list_routing_controls()["RoutingControls"]
    arns = {control["RoutingControlName"]: control["RoutingControlArn"] for control in controls}
    assert len(arns) == 3 and {control["RoutingControlState"] for control in controls} == {"Off"}
    arn = next(iter(arns.values()))
    ROUTING[3].update_routing_control_state(RoutingControlArn=arn, RoutingControlState="On")
    deadline = time.monotonic() + 16
    waiting = list(ROUTING)
    while waiting:
        assert time.monotonic() < deadline, "states converge within 15 s"
        waiting = [c for c in waiting
                   if c.get_routing_control_state(RoutingControlArn=arn)["RoutingControlState"] != "On"]
        time.sleep(0.2)
    refused("ResourceNotFoundException", ROUTING[1].get_routing_control_state, RoutingControlArn="arn:none")
    elsewhere = boto3.client("route53-recovery-cluster", region_name="sa-east-1", config=CONFIG,
                             endpoint_url=ROUTING[0].meta.endpoint_url)
    refused("InvalidSignatureException", elsewhere.list_routing_controls)


def main():
    tests = [(name, test) for name, test in globals().items() if name.startswith("test_")]
    for name, test in tests:
        began = time.monotonic()
        try:
            test()
        except Exception:
            traceback.print_exc()
            print(f"FAILED {name}", file=sys.stderr)
            return 1
        print(f"ok {name} ({time.monotonic() - began:.2f} s)")
    print(f"{len(tests)} passed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
