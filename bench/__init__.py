"""Every claim about speed is made by a command in here."""
