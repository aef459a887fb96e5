"""The Ray Serve graph and its HTTP API: the only importer of Ray, FastAPI and Starlette."""
