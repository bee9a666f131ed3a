"""The fields of KubeRay's objects (ray.io/v1), from its API reference; their pods are Kubernetes' own.

No package carries KubeRay's own definitions, so this is our reading of them: a misspelt or misplaced field is
found, a rule that only the operator knows is not.
"""

from typing import Any

STRINGS = {"type": "object", "additionalProperties": {"type": "string"}}
COUNT = {"type": "integer", "minimum": 0}


def fields(required: list[str], **properties: Any) -> dict[str, Any]:
    """An object with these fields and no others."""
    return {"type": "object", "required": required, "additionalProperties": False, "properties": properties}


AUTOSCALER = fields(
    [],
    resources={"type": "object"},
    image={"type": "string"},
    imagePullPolicy={"enum": ["Always", "IfNotPresent", "Never"]},
    securityContext={"type": "object"},
    idleTimeoutSeconds=COUNT,
    upscalingMode={"enum": ["Default", "Aggressive", "Conservative"]},
    version={"enum": ["v1", "v2"]},
    env={"type": "array"},
    envFrom={"type": "array"},
    volumeMounts={"type": "array"},
)
HEAD = fields(
    ["template"],
    template={"type": "object"},
    headService={"type": "object"},
    enableIngress={"type": "boolean"},
    rayStartParams=STRINGS,
    serviceType={"enum": ["ClusterIP", "NodePort", "LoadBalancer"]},
)
WORKERS = fields(
    ["groupName", "template"],
    suspend={"type": "boolean"},
    groupName={"type": "string"},
    replicas=COUNT,
    minReplicas=COUNT,
    maxReplicas=COUNT,
    idleTimeoutSeconds=COUNT,
    rayStartParams=STRINGS,
    template={"type": "object"},
    scaleStrategy=fields([], workersToDelete={"type": "array", "items": {"type": "string"}}),
    numOfHosts=COUNT,
)
CLUSTER = fields(
    ["headGroupSpec", "rayVersion"],
    suspend={"type": "boolean"},
    managedBy={"type": "string"},
    autoscalerOptions=AUTOSCALER,
    headServiceAnnotations=STRINGS,
    enableInTreeAutoscaling={"type": "boolean"},
    gcsFaultToleranceOptions=fields(
        ["redisAddress"],
        redisAddress={"type": "string"},
        redisUsername={"type": "object"},
        redisPassword={"type": "object"},
        externalStorageNamespace={"type": "string"},
    ),
    headGroupSpec=HEAD,
    rayVersion={"type": "string"},
    workerGroupSpecs={"type": "array", "items": WORKERS},
)
JOB = fields(
    ["entrypoint"],
    activeDeadlineSeconds={"type": "integer", "minimum": 1},
    backoffLimit=COUNT,
    rayClusterSpec=CLUSTER,
    submitterPodTemplate={"type": "object"},
    metadata=STRINGS,
    clusterSelector=STRINGS,
    submitterConfig=fields([], backoffLimit=COUNT),
    managedBy={"type": "string"},
    deletionStrategy={"type": "object"},
    entrypoint={"type": "string"},
    runtimeEnvYAML={"type": "string"},
    jobId={"type": "string"},
    submissionMode={"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"]},
    entrypointResources={"type": "string"},
    entrypointNumCpus={"type": "number"},
    entrypointNumGpus={"type": "number"},
    ttlSecondsAfterFinished=COUNT,
    shutdownAfterJobFinishes={"type": "boolean"},
    suspend={"type": "boolean"},
)
SERVICE = fields(
    ["serveConfigV2", "rayClusterConfig"],
    serveService={"type": "object"},
    upgradeStrategy=fields([], type={"enum": ["NewCluster", "None"]}),
    serveConfigV2={"type": "string"},
    rayClusterConfig=CLUSTER,
    excludeHeadPodFromServeSvc={"type": "boolean"},
)
SPECIFICATIONS = {"RayCluster": CLUSTER, "RayJob": JOB, "RayService": SERVICE}


def definition(kind: str) -> dict[str, Any]:
    """The JSON schema of a whole KubeRay object."""
    return fields(
        ["apiVersion", "kind", "metadata", "spec"],
        apiVersion={"const": "ray.io/v1"},
        kind={"const": kind},
        metadata={"type": "object"},
        spec=SPECIFICATIONS[kind],
    )


def cluster_of(document: dict[str, Any]) -> dict[str, Any]:
    """The RayCluster specification inside any KubeRay object."""
    inside = {"RayCluster": None, "RayJob": "rayClusterSpec", "RayService": "rayClusterConfig"}[
        document["kind"]
    ]
    found: dict[str, Any] = document["spec"] if inside is None else document["spec"][inside]
    return found


def pod_templates(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Every pod template of a KubeRay object: the head's and the workers'."""
    cluster = cluster_of(document)
    return [group["template"] for group in (cluster["headGroupSpec"], *cluster.get("workerGroupSpecs", []))]
