"""How pages, exports and the command line present a session, from its entries alone: no HTTP, no database."""
