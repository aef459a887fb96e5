"""What replicas keep, bounded in bytes."""
