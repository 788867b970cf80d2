"""What a lake is: its connection, tables, cursors and upkeep, and SQL's literals."""
