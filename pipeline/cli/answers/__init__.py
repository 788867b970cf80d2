"""How the answers of commands look: sentences and tables for people, JSON for machines, bars while they wait."""
