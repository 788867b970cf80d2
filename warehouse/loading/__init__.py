"""From parsed lines to rows: staged, merged, and marked deleted where they are gone."""
