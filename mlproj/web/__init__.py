"""The pages of `mlproj ui`: is handed a store, and gives pages and JSON of it."""
