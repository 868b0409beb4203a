"""`./dev demo`: the daemon beside a kernel's repo, from the first archive to a verified dataset."""
