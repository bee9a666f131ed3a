"""Everything in deploy/kubernetes is what Kubernetes, KubeRay and Ray accept."""

import importlib
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import numpy as np
import pytest
import ray
import yaml
from deployment_files import DEPLOY, kubernetes_documents
from kuberay_schema import SPECIFICATIONS, cluster_of, definition, pod_templates
from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr
from ray.autoscaler._private.util import validate_config
from ray.serve import Application
from ray.serve._private.api import call_user_app_builder_with_args_if_necessary
from ray.serve.schema import ServeDeploySchema

from cico_platform.index.base import open_index
from cico_platform.index.clips import IndexedClip
from cico_platform.index.serving_info import ServingInfo
from cico_platform.index.writer import IndexWriter
from cico_platform.serving.application import ServedIndex, application

VERSION = "1.33"
OBJECTS = [(file, o) for file, o in kubernetes_documents() if o["kind"] != "Kustomization"]
CORE = [pytest.param(o, id=f"{file}:{o['kind']}") for file, o in OBJECTS if o["kind"] not in SPECIFICATIONS]
RAY = [pytest.param(o, id=f"{file}:{o['kind']}") for file, o in OBJECTS if o["kind"] in SPECIFICATIONS]


@pytest.mark.parametrize("document", CORE)
def test_core_objects_match_kubernetes_schemas(document: dict[str, Any]) -> None:
    kubernetes_validate.validate(document, VERSION, strict=True)


@pytest.mark.parametrize("document", RAY)
def test_ray_objects_match_kuberays_fields(document: dict[str, Any]) -> None:
    jsonschema.validate(document, definition(document["kind"]))


@pytest.mark.parametrize("document", RAY)
def test_pods_of_ray_objects_match_kubernetes_schemas(document: dict[str, Any]) -> None:
    for template in pod_templates(document):
        whole = {
            "apiVersion": "v1",
            "kind": "PodTemplate",
            "metadata": {"name": "checked"},
            "template": template,
        }
        kubernetes_validate.validate(whole, VERSION, strict=True)


@pytest.mark.parametrize("document", RAY)
def test_rays_autoscaler_reads_the_cluster(document: dict[str, Any]) -> None:
    """By the very function with which the autoscaler's container reads its cluster."""
    resource = {"metadata": {"name": "checked", "namespace": "cico"}, "spec": cluster_of(document)}
    config = _derive_autoscaling_config_from_ray_cr(resource)
    validate_config(config)
    groups = cluster_of(document)["workerGroupSpecs"]
    for group in groups:
        limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
        known = config["available_node_types"][group["groupName"]]["resources"]
        assert known["CPU"] == int(limits["cpu"])
        assert known.get("GPU", 0) == int(limits.get("nvidia.com/gpu", 0))


@pytest.mark.parametrize("document", RAY)
def test_clusters_run_the_installed_ray_on_the_shared_volume(document: dict[str, Any]) -> None:
    assert cluster_of(document)["rayVersion"] == ray.__version__
    for template in pod_templates(document):
        (container,) = template["spec"]["containers"]
        assert container["image"].startswith("cico-platform:")
        assert {"/data", "/dev/shm"} <= {mount["mountPath"] for mount in container["volumeMounts"]}


def test_validation_sees_a_misspelt_field() -> None:
    (claim,) = [o for _, o in OBJECTS if o["kind"] == "PersistentVolumeClaim"]
    wrong = {**claim, "spec": {**claim["spec"], "accessMode": "ReadWriteMany"}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSION, strict=True)


def test_there_is_a_cluster_to_train_a_job_to_extract_and_a_service_to_search() -> None:
    assert {o["kind"] for _, o in OBJECTS} >= {"RayCluster", "RayJob", "RayService", "StatefulSet", "Service"}


def service() -> dict[str, Any]:
    (found,) = [o for _, o in OBJECTS if o["kind"] == "RayService"]
    return found


def test_serve_configuration_is_rays_and_our_application_takes_its_arguments() -> None:
    config = ServeDeploySchema.model_validate(yaml.safe_load(service()["spec"]["serveConfigV2"]))
    (served,) = config.applications
    module, _, name = served.import_path.partition(":")
    builder = getattr(importlib.import_module(module), name)
    arguments = ServedIndex.model_validate(served.args)
    assert builder is application
    qdrant = [o for _, o in OBJECTS if o["kind"] == "Service" and o["metadata"]["name"] == "qdrant"]
    assert arguments.index == f"http://qdrant:{qdrant[0]['spec']['ports'][0]['port']}"


def test_search_service_matches_kubernetes_schemas() -> None:
    described = {"apiVersion": "v1", "kind": "Service", **service()["spec"]["serveService"]}
    kubernetes_validate.validate(described, VERSION, strict=True)


def test_ray_serve_builds_the_application_from_its_arguments(tmp_path: Path) -> None:
    """As Serve does with a configuration file, on a real index; models are loaded by replicas alone."""
    for name in ("model", "encoder"):
        (tmp_path / name).mkdir()
    info = ServingInfo("clips-1", 2, str(tmp_path / "model"), (str(tmp_path / "encoder"),), 1.0, "one clip")
    with open_index(str(tmp_path / "index")) as index, IndexWriter(index, info) as writer:
        writer.add([IndexedClip("clip", np.eye(2, dtype=np.float32), {"text": "a sign", "text_id": "0"})])
    arguments = {"index": str(tmp_path / "index")}
    built = call_user_app_builder_with_args_if_necessary(application, arguments)
    assert isinstance(built, Application)


def test_kustomization_lists_files_that_exist_in_one_namespace() -> None:
    (whole,) = [o for _, o in kubernetes_documents() if o["kind"] == "Kustomization"]
    for resource in whole["resources"]:
        assert (DEPLOY / "kubernetes" / resource).is_file()
    named = {o["metadata"].get("namespace") for _, o in OBJECTS if o["kind"] != "Namespace"}
    assert named == {"cico"} == {whole["namespace"]}


def test_what_is_referred_to_exists() -> None:
    """Claims, and labels by which services and policies select pods."""
    claims = {o["metadata"]["name"] for _, o in OBJECTS if o["kind"] == "PersistentVolumeClaim"}
    templates = [t for _, o in OBJECTS if o["kind"] in SPECIFICATIONS for t in pod_templates(o)]
    wanted = {
        v["persistentVolumeClaim"]["claimName"]
        for t in templates
        for v in t["spec"]["volumes"]
        if "persistentVolumeClaim" in v
    }
    assert wanted <= claims
    pods = [t["metadata"]["labels"] for t in templates]
    pods += [o["spec"]["template"]["metadata"]["labels"] for _, o in OBJECTS if o["kind"] == "StatefulSet"]
    selectors = [o["spec"]["selector"] for _, o in OBJECTS if o["kind"] == "Service"]
    selectors += [
        o["spec"]["podSelector"].get("matchLabels", {}) for _, o in OBJECTS if o["kind"] == "NetworkPolicy"
    ]
    for selector in selectors:
        assert any(selector.items() <= labels.items() for labels in pods), selector
