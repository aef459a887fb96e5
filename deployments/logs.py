"""Our loggers, inside the processes of Serve."""

import logging


def log_with_serve() -> None:
    """Lets our log lines go where Serve's go: the replica's log file, with deployment, replica and request id.

    Called at the start of every process of the graph; elsewhere our loggers are left to whoever configures logging.
    """
    serve = logging.getLogger("ray.serve")
    for name in ("deployments", "segmentation"):
        logger = logging.getLogger(name)
        logger.handlers = list(serve.handlers)
        logger.setLevel(serve.level)
