"""Calls between deployments: what travels, how, and what can go wrong."""
