"""From JSON lines to rows: parsed, staged, merged, and marked deleted where they are gone."""
