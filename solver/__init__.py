"""Search: from a problem to a proven schedule, its report and its files."""
