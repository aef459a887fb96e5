"""Masks and pictures to objects, groups, statistics and export files. Knows neither Ray, HTTP nor a runtime."""
