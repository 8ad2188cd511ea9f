"""Speed, shown as ratios against a named peer or a physical limit in the same run. Not a test: nothing here fails."""
