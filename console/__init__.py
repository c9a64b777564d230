"""What people touch: the `clicktrail` command, and the workspace file."""
