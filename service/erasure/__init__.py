"""What is known of a user, and forgetting users and items."""
