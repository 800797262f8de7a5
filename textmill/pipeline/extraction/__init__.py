"""From the markup of a page to its main content."""
