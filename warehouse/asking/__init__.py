"""A user's questions: SQL, frames, files, and what the tables and columns mean."""
