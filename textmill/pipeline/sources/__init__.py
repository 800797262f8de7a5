"""Where archives come from: local files, object stores, the web, Common Crawl by name; and the frozen list of them."""
