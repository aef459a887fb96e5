"""Events, metrics, traces and logs."""
