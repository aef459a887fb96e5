"""The Python client of the HTTP API. Knows the HTTP contract only; needs httpx and numpy."""
