"""Other ways to do the reference workload, each as its own community would write it."""
