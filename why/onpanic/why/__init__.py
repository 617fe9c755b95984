"""Why a guest panicked, read from outside."""
