"""What has changed between two collections of one fleet."""
