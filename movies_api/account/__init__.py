"""The caller's own account: profile, password, deletion, password reset."""
