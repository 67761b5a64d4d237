"""What pages, files and terminals show of a session, made of its entries alone: no HTTP, no database."""
