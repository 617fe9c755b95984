"""What the watcher reports: log lines, the hook, metrics, and notifications to systemd."""
