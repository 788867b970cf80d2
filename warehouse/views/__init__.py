"""The analysts' views, and what is learned from the rows to make them."""
