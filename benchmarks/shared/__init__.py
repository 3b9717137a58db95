"""Tables, plots, pages and resumable runs."""
