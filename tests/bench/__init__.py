"""How fast it is, and beside which floor. `./dev bench`."""
