"""The verbs of `clicktrail`, a few to a file. Each is a plain function whose signature is its usage."""
