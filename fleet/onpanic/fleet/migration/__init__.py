"""Where a guest may migrate and keep its policy: pure functions of a fleet's classes."""
