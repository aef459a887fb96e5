"""The deployments behind the ingress. Know no HTTP and no handles."""
