"""The HTTP API: routes, request and response formats, limits at the edge."""
