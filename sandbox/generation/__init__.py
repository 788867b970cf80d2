"""Invents a workspace that looks like a real one."""
