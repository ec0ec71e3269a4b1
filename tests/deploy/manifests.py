"""The manifests, held to the schemas of those who read them.

Kubernetes' own (the package kubernetes-validate brings them), AWS Batch's model of its API (botocore checks every call
against it before it is sent) and the schema of GitHub's workflows (check-jsonschema brings it). Each validator is also shown
something broken, which it has to refuse. Run from the top of the tree.
"""

import copy
import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import botocore.session
import botocore.validate
import kubernetes_validate
import yaml

DEPLOY = Path("deploy")
KUBERNETES = "1.33"


def documents(name):
    return list(yaml.safe_load_all((DEPLOY / name).read_text()))


def job(name):
    return next(document for document in documents(name) if document["kind"] == "Job")


def batch_problems(operation, parameters):
    model = botocore.session.get_session().get_service_model("batch")
    shape = model.operation_model(operation).input_shape
    report = botocore.validate.ParamValidator().validate(parameters, shape)
    return report.generate_report()


def workflow_problems(text):
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        file.write(text)
        file.flush()
        command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", file.name]
        ran = subprocess.run(command, capture_output=True, text=True)
    return "" if ran.returncode == 0 else ran.stdout + ran.stderr


class Kubernetes(unittest.TestCase):
    FILES = ["kubernetes.yaml", "kubernetes-merge.yaml"]

    def validate(self, document):
        kubernetes_validate.validate(document, KUBERNETES, strict=True)

    def test_every_document_is_accepted(self):
        for name in self.FILES:
            for document in documents(name):
                with self.subTest(name, kind=document["kind"]):
                    self.validate(document)

    def test_a_broken_one_is_refused(self):
        def misspelt(spec):
            spec["completionsMode"] = spec.pop("completionMode")

        def a_word_for_a_number(spec):
            spec["completions"] = "twenty"

        def no_template(spec):
            del spec["template"]

        for break_it in [misspelt, a_word_for_a_number, no_template]:
            broken = copy.deepcopy(job("kubernetes.yaml"))
            break_it(broken["spec"])
            with self.subTest(break_it.__name__), self.assertRaises(kubernetes_validate.ValidationError):
                self.validate(broken)

    def test_as_many_shards_as_completions(self):
        spec = job("kubernetes.yaml")["spec"]
        container = spec["template"]["spec"]["containers"][0]
        shards = {variable["name"]: variable["value"] for variable in container["env"]}["SHARDS"]
        self.assertEqual(shards, str(spec["completions"]))
        self.assertEqual(spec["completionMode"], "Indexed")

    def test_nothing_runs_as_root_or_writes_to_the_image(self):
        for name in self.FILES:
            pod = job(name)["spec"]["template"]["spec"]
            self.assertTrue(pod["securityContext"]["runAsNonRoot"])
            for container in pod["containers"]:
                rights = container["securityContext"]
                self.assertTrue(rights["readOnlyRootFilesystem"])
                self.assertFalse(rights["allowPrivilegeEscalation"])
                self.assertEqual(rights["capabilities"], {"drop": ["ALL"]})
        definition = json.loads((DEPLOY / "batch-job-definition.json").read_text())["containerProperties"]
        self.assertTrue(definition["readonlyRootFilesystem"])
        self.assertIn(f"USER {definition['user']}\n", (DEPLOY / "Dockerfile").read_text())


class Batch(unittest.TestCase):
    CALLS = {
        "batch-job-definition.json": "RegisterJobDefinition",
        "batch-array-job.json": "SubmitJob",
        "batch-merge-job.json": "SubmitJob",
    }

    def test_every_call_is_accepted(self):
        for name, operation in self.CALLS.items():
            with self.subTest(name):
                self.assertEqual(batch_problems(operation, json.loads((DEPLOY / name).read_text())), "")

    def test_a_broken_one_is_refused(self):
        definition = json.loads((DEPLOY / "batch-job-definition.json").read_text())
        misspelt = copy.deepcopy(definition)
        misspelt["containerProperties"]["readOnlyRootFilesystem"] = True
        self.assertIn("readOnlyRootFilesystem", batch_problems("RegisterJobDefinition", misspelt))
        array = json.loads((DEPLOY / "batch-array-job.json").read_text())
        self.assertIn("size", batch_problems("SubmitJob", array | {"arrayProperties": {"size": "20"}}))
        del array["jobQueue"]
        self.assertIn("jobQueue", batch_problems("SubmitJob", array))

    def test_the_jobs_are_of_the_definition(self):
        definition = json.loads((DEPLOY / "batch-job-definition.json").read_text())["jobDefinitionName"]
        for name in ["batch-array-job.json", "batch-merge-job.json"]:
            self.assertEqual(json.loads((DEPLOY / name).read_text())["jobDefinition"], definition)


class GitHub(unittest.TestCase):
    TEXT = Path(".github/workflows/ci.yml").read_text()

    def test_the_workflow_is_accepted(self):
        self.assertEqual(workflow_problems(self.TEXT), "")

    def test_a_broken_one_is_refused(self):
        for good, bad in [("runs-on:", "run-on:"), ("matrix:", "matrices:"), ("timeout-minutes: 90", "timeout-minutes: long")]:
            self.assertIn(good, self.TEXT)
            self.assertNotEqual(workflow_problems(self.TEXT.replace(good, bad)), "", bad)

    def test_the_shards_of_the_matrix_are_all_there_are(self):
        explore = yaml.safe_load(self.TEXT)["jobs"]["explore"]
        shards = explore["strategy"]["matrix"]["shard"]
        self.assertEqual(shards, list(range(1, len(shards) + 1)))
        step = next(step for step in explore["steps"] if step.get("name") == "explore")
        self.assertEqual(step["env"]["SHARD"], "${{ matrix.shard }}/%d" % len(shards))


if __name__ == "__main__":
    unittest.main()
