"""The keys of a Serve config file. Serve drops those that it does not know without a word. Knows no Ray.

A test holds the names to Ray's own schema.
"""

import difflib
from collections.abc import Mapping
from typing import Any

TOP = (
    *("proxy_location", "http_options", "grpc_options", "controller_options", "logging_config", "tracing_config"),
    *("applications", "target_capacity"),
)
HTTP_OPTIONS = (
    *("host", "port", "root_path", "request_timeout_s", "keep_alive_timeout_s"),
    *("ssl_keyfile", "ssl_certfile", "ssl_keyfile_password", "ssl_ca_certs"),
)
GRPC_OPTIONS = ("port", "grpc_servicer_functions", "request_timeout_s", "enable_reflection")
LOGGING = ("encoding", "log_level", "logs_dir", "enable_access_log", "additional_log_standard_attrs")
APPLICATION = (
    *("name", "route_prefix", "import_path", "runtime_env", "host", "port", "deployments", "autoscaling_policy"),
    *("args", "logging_config", "external_scaler_enabled"),
)
DEPLOYMENT = (
    *("name", "num_replicas", "max_ongoing_requests", "max_queued_requests", "backpressure_config", "user_config"),
    *("autoscaling_config", "graceful_shutdown_wait_loop_s", "graceful_shutdown_timeout_s", "health_check_period_s"),
    *("health_check_timeout_s", "ray_actor_options", "placement_group_bundles", "placement_group_strategy"),
    *("placement_group_bundle_label_selector", "max_replicas_per_node", "logging_config", "request_router_config"),
    *("gang_scheduling_config", "deployment_actors", "rolling_update_percentage", "max_surge_percent"),
)


def unknown_key(document: Mapping[str, Any]) -> str | None:
    """What is wrong with the first key that Serve does not know; None if it knows all."""
    parts: list[tuple[str, object, tuple[str, ...]]] = [
        ("the file", document, TOP),
        ("http_options", document.get("http_options"), HTTP_OPTIONS),
        ("grpc_options", document.get("grpc_options"), GRPC_OPTIONS),
        ("logging_config", document.get("logging_config"), LOGGING),
    ]
    for application in _list(document.get("applications")):
        name = f"the application {application.get('name')}"
        parts += [
            (name, application, APPLICATION),
            (f"logging_config of {name}", application.get("logging_config"), LOGGING),
        ]
        parts += [
            (f"the deployment {deployment.get('name')}", deployment, DEPLOYMENT)
            for deployment in _list(application.get("deployments"))
        ]
    for where, given, known in parts:
        if isinstance(given, Mapping):
            for key in given:
                if key not in known:
                    return f"{where} has a key {key!r}, which Serve does not know{_meant(str(key), known)}"
    return None


def _list(value: object) -> list[Mapping[str, Any]]:
    return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, list) else []


def _meant(key: str, known: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(key, known, 1)
    return f"; do you mean {close[0]}?" if close else f"; known are {', '.join(known)}"
