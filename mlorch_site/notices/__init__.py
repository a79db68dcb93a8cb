"""What waits for somebody or happened, told to people and to other systems."""
