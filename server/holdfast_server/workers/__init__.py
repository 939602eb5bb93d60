"""Several processes on one port and one data directory: a parent that starts and watches them, and what each knows."""
