"""The RDS API of Aurora as boto3 sees it: an SDK that nobody here wrote.

`RDS_ENDPOINTS` lists the Regions' endpoints as `REGION=URL` with commas between, the writer's first. Exits 0 if every check
holds, and names the first that does not. Switches the writer over, so it takes up to a minute.
"""

import os
import sys
import time
import traceback

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

CONFIG = Config(retries={"mode": "standard", "max_attempts": 1}, read_timeout=30)
ENDPOINTS = dict(pair.split("=", 1) for pair in os.environ["RDS_ENDPOINTS"].split(","))
REGIONS = list(ENDPOINTS)
RDS = {
    region: boto3.client("rds", region_name=region, endpoint_url=url, config=CONFIG)
    for region, url in ENDPOINTS.items()
}


def refused(code, call, **arguments):
    """Checks that a call is refused with this code."""
    try:
        call(**arguments)
    except ClientError as error:
        assert error.response["Error"]["Code"] == code, error.response["Error"]
        return
    raise AssertionError(f"{call.__name__} was not refused")


def arn(region):
    """The ARN of a Region's cluster."""
    return f"arn:aws:rds:{region}:123456789012:cluster:local-{region}"


def described(region):
    """The Global Database as a Region's API describes it."""
    clusters = RDS[region].describe_global_clusters(GlobalClusterIdentifier="local")["GlobalClusters"]
    assert len(clusters) == 1, clusters
    return clusters[0]


def writer(region):
    """The ARN of the writer, as a Region's API describes it."""
    writers = [member["DBClusterArn"] for member in described(region)["GlobalClusterMembers"] if member["IsWriter"]]
    assert len(writers) == 1, writers
    return writers[0]


def test_the_global_cluster_is_described_alike_everywhere():
    for region in REGIONS:
        cluster = described(region)
        assert cluster["Status"] == "available" and cluster["Engine"] == "aurora-postgresql", cluster
        assert cluster["GlobalClusterArn"] == "arn:aws:rds::123456789012:global-cluster:local", cluster
        assert [member["DBClusterArn"] for member in cluster["GlobalClusterMembers"]] == [arn(name) for name in REGIONS]
        assert "FailoverState" not in cluster, cluster
        readers = [member["Readers"] for member in cluster["GlobalClusterMembers"]]
        assert readers == [[arn(name) for name in REGIONS[1:]], [], []], readers
        assert writer(region) == arn(REGIONS[0])


def test_each_region_describes_its_own_cluster():
    for region in REGIONS:
        clusters = RDS[region].describe_db_clusters()["DBClusters"]
        assert [cluster["DBClusterArn"] for cluster in clusters] == [arn(region)], clusters
        assert clusters[0]["Status"] == "available" and clusters[0]["Port"] > 0, clusters
        assert [member["IsClusterWriter"] for member in clusters[0]["DBClusterMembers"]] == [True, False], clusters


def test_what_cannot_be_is_refused_by_its_code():
    rds, target = RDS[REGIONS[0]], {"TargetDbClusterIdentifier": arn(REGIONS[1])}
    refused("GlobalClusterNotFoundFault", rds.describe_global_clusters, GlobalClusterIdentifier="other")
    refused("GlobalClusterNotFoundFault", rds.failover_global_cluster, GlobalClusterIdentifier="other", **target)
    nowhere = {"GlobalClusterIdentifier": "local", "TargetDbClusterIdentifier": "arn:aws:rds:x:1:cluster:y"}
    refused("DBClusterNotFoundFault", rds.failover_global_cluster, **nowhere)
    both = {"AllowDataLoss": True, "Switchover": True, "GlobalClusterIdentifier": "local"}
    refused("InvalidParameterCombination", rds.failover_global_cluster, **both, **target)
    itself = {"GlobalClusterIdentifier": "local", "TargetDbClusterIdentifier": arn(REGIONS[0])}
    refused("InvalidDBClusterStateFault", rds.switchover_global_cluster, **itself)
    refused("DBClusterNotFoundFault", rds.failover_db_cluster, DBClusterIdentifier="other")
    refused("InvalidAction", rds.describe_db_instances)
    abroad = boto3.client("rds", region_name="eu-west-1", endpoint_url=ENDPOINTS[REGIONS[0]], config=CONFIG)
    refused("SignatureDoesNotMatch", abroad.describe_global_clusters)
    assert writer(REGIONS[0]) == arn(REGIONS[0])


def test_an_in_region_failover_shows_in_the_status():
    rds = RDS[REGIONS[2]]
    identifier = f"local-{REGIONS[2]}"
    rds.failover_db_cluster(DBClusterIdentifier=identifier)
    time.sleep(1)
    cluster = rds.describe_db_clusters(DBClusterIdentifier=identifier)["DBClusters"][0]
    assert cluster["Status"] == "failing-over", cluster
    refused("InvalidDBClusterStateFault", rds.failover_db_cluster, DBClusterIdentifier=identifier)


def test_a_switchover_moves_the_writer():
    # Asked in one Region, carried out by another.
    target = {"GlobalClusterIdentifier": "local", "TargetDbClusterIdentifier": arn(REGIONS[1])}
    cluster = RDS[REGIONS[0]].switchover_global_cluster(**target)["GlobalCluster"]
    assert cluster["Status"] == "switching-over", cluster
    state = cluster["FailoverState"]
    assert state["ToDbClusterArn"] == arn(REGIONS[1]) and not state["IsDataLossAllowed"], state
    refused("InvalidGlobalClusterStateFault", RDS[REGIONS[2]].failover_global_cluster, AllowDataLoss=True, **target)
    for _ in range(60):
        time.sleep(1)
        if described(REGIONS[2])["Status"] == "available":
            break
    assert {writer(region) for region in REGIONS} == {arn(REGIONS[1])}


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
