"""What a request needs of the replicas, step by step. Knows no HTTP."""
