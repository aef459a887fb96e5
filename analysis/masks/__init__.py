"""Many masks as one packed set of runs: reading, rasterising, and finding which overlap."""
