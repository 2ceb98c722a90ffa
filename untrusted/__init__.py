"""What files of others may do to who reads them: one bound on memory, one guard a container.

The ground under `extractors`, `heads` and `stores`, which read such files and never import each other.
"""
