"""Ratios against named peers measured in the same run, printed side by side with both sides' CPU seconds."""
