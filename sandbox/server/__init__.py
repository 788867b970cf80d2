"""The sandbox's answers: the API, the store of archive files, and what both do wrong on demand."""
