"""Ray of our own, even where another one runs; whose cores are counted node by node."""

import os
import subprocess
import sys

import pytest

from cico_platform.cluster import is_started_here

PROGRAM = """
import ray
from ray.cluster_utils import Cluster
import subprocess, sys

other = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 100 << 20})
ours = "import ray; from cico_platform.cluster import connect; connect()"
ours += "; print(ray.get_runtime_context().gcs_address)"
run = subprocess.run([sys.executable, "-c", ours], capture_output=True, text=True)
print(other.address, run.stdout.split()[-1] if run.returncode == 0 else run.stderr)
other.shutdown()
"""


@pytest.mark.usefixtures("ray_cluster")
def test_only_the_process_that_started_a_ray_says_so() -> None:
    import ray

    assert is_started_here()
    assert not ray.get(ray.remote(num_cpus=0)(is_started_here).remote())


@pytest.mark.slow
def test_another_ray_on_the_machine_is_left_alone() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, env=environment
    )
    other, ours = run.stdout.splitlines()[-1].split()
    assert ":" in ours
    assert ours != other


NODES = """
import ray
from ray.cluster_utils import Cluster
from cico_platform.cluster import connect, is_started_here, node_cores, threads_each
from cico_platform.pipelines.encoders import EncodingSettings, resources

head = {"num_cpus": 0, "object_store_memory": 100 << 20}
cluster = Cluster(initialize_head=True, head_node_args=head)
for _ in range(2):
    cluster.add_node(num_cpus=1, object_store_memory=100 << 20)
connect(cluster.address)
assert not is_started_here()
cluster.wait_for_nodes()
filled, _ = resources(EncodingSettings())
print(node_cores(), threads_each(2), filled.actors, filled.threads, filled.decoders)
ray.shutdown()
cluster.shutdown()
"""


@pytest.mark.slow
def test_a_head_without_cpus_takes_no_work() -> None:
    run = subprocess.run([sys.executable, "-c", NODES], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "[1, 1] 1 2 1 2"
