"""Many indexes on one storage, and one dataset of all of them."""
