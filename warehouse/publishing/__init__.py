"""Copies of a lake for those who may only read."""
