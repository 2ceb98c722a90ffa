"""What comes out of the cache: lists, pages, exports, comparisons, answers about a clip."""
