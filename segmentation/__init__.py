"""Segment Anything as a library: numpy and a runtime. Knows neither Ray nor HTTP."""
