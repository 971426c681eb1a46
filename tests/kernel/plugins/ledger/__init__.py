"""A small bounded context that exists for the kernel's tests only: accounts, deposits, and what follows from them."""
