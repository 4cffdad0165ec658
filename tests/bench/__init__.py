"""What a call costs, as ratios of figures taken side by side in one run."""
