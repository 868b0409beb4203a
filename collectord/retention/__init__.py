"""What of an archive may be removed, and how one is put back. Nothing else ever writes into archives."""
