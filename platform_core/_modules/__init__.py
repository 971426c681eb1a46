"""
What deployers and module authors do with modules as such; used by `platform modules`, private to the kernel.

findings     one thing that somebody should know before a start, and how much it matters
preflight    everything about a set of modules that can be said without starting it
packages     whether the Python packages that modules ask for are there
database     what one database has to say about a set
candidates   wheels, folders and names that are not installed yet, laid over what is
graph, svg   who needs whom, as data and as a picture
removal      what taking a module out means, and doing it
archive      its data as one file
frozen       a set with versions and hashes, and having exactly that
scaffold     a new module from the template in `templates/`
"""
