"""The service as files of Ray Serve name it: `cico_platform.serving.application:application`."""

from ray.serve import Application

from cico_platform.index.base import open_index
from cico_platform.index.serving_info import DEFAULT_ALIAS, live_serving
from cico_platform.serving.deployments import build
from cico_platform.serving.settings import ServiceSettings
from cico_platform.settings import Settings


class ServedIndex(Settings):
    """The `args` of the application.

    Attributes
    ----------
    index
        Path or URL of an index, as every node of the cluster reaches it.
    alias
        Which collection is live.
    service
        What the service allows a client, and how it scales.
    """

    index: str
    alias: str = DEFAULT_ALIAS
    service: ServiceSettings = ServiceSettings()


def application(args: ServedIndex) -> Application:
    """Build the application on an index that is there.

    Raises
    ------
    InputError
        If there is no index.
    CicoError
        If nothing is live in it.
    """
    with open_index(args.index, must_exist=True) as opened:
        info = live_serving(opened, args.alias)
    return build(args.index, info, args.alias, args.service)
