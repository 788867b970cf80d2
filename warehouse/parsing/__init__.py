"""From JSON lines to typed columns: each stream's SELECT, fast where rows are as usual, lenient where they are not."""
