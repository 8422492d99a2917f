"""The programs in corpus/ are read, never run: no test lies among them."""

collect_ignore_glob = ["corpus/*"]
