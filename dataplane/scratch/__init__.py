"""A version tried out away from everything that serves: its packages installed, its example answered, a load put on it.

One process does one task for one gate and leaves nothing behind: neither a process nor a socket.
"""
