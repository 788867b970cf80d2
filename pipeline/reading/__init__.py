"""Reads streams, each strategy its way: what to ask for, in which order, and what absence means."""
