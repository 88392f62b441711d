"""What an admin may see beyond a user: how much there is, and how it grows."""
