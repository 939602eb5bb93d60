"""The journal: what is logged waits on this machine's disk until the server has it, so that training never waits.

::

    processes   the senders of this process, through forks and to its end
    └── sender      a thread that empties a journal
        ├── journal     takes what is logged: Series and Stream over
        │   ├── limits      what is refused for its size
        │   ├── records     the bytes
        │   ├── segment     a file mapped into memory
        │   └── folder      the files of one journal and who holds them
        ├── reading     records to requests
        ├── delivery    requests to the server, each once
        └── aside       what the server refused
    syncing     sends what dead processes left
    keeping     changes that are made now, or held in the journal
"""
