"""Our loggers, inside the processes of Serve."""

import logging


def log_with_serve() -> None:
    """Lets our log lines go where Serve's go: the replica's log file, with deployment, replica and request id.

    Called at the start of every process of the graph; elsewhere our loggers are left to whoever configures logging.
    """
    for name in ("deployments", "segmentation"):
        # A parent, not a copy of its handlers and level: Serve replaces those when `logging_config` changes under a
        # running replica.
        logging.getLogger(name).parent = logging.getLogger("ray.serve")
