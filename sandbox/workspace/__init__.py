"""The sandbox's rows and archive files: kept, edited, archived, counted."""
